"""One style for all figures: colours that everybody tells apart, names beside lines, files for print and screen."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

STYLE = mpl.rc_params_from_file(Path(__file__).with_name("netdeconv.mplstyle"), use_default_template=False)
BEFORE, AFTER = "#0072B2", "#D55E00"
MARKERS = "os^Dvp*"
# With more lines than this, a legend says more than names at their ends.
_MOST_NAMES = 6


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Draw in the style; the caller's own is as before afterwards."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> T:
        with mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


@styled
def save(figure: Figure, stem: Path, kinds: Sequence[str] = ("svg", "png")) -> list[Path]:
    """Write a figure as SVG and PNG.

    Args:
        figure: any.
        stem: path without a suffix; folders are made.
        kinds: suffixes.

    Returns:
        The files.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    files = [stem.with_name(f"{stem.name}.{kind}") for kind in kinds]
    for file in files:
        metadata: dict[str, Any] = {"Date": None} if file.suffix == ".svg" else {}
        quality: dict[str, Any] = {"pil_kwargs": {"quality": 65}} if file.suffix == ".webp" else {}
        figure.savefig(file, metadata=metadata, **quality)
    return files


def name_lines(axes: Axes) -> None:
    """Write every line's label at its right end, apart from each other; many lines get a legend."""
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    if len(lines) > _MOST_NAMES:
        axes.legend(fontsize="small")
        return
    low, high = axes.get_ylim()
    ends = []
    for line in lines:
        points = np.asarray(line.get_xydata(), dtype=float)
        if len(points) and np.isfinite(points[-1]).all():
            inside = axes.transData.transform((points[-1][0], np.clip(points[-1][1], low, high)))
            ends.append((float(axes.transAxes.inverted().transform(inside)[1]), line))
    ends.sort(key=lambda end: end[0])
    room, below = 0.075, -1.0
    places = []
    for height, _ in ends:
        below = max(height, below + room)
        places.append(below)
    over = max(0.0, (places[-1] if places else 0) - 1.0)
    for (_, line), place in zip(ends, places, strict=True):
        axes.annotate(
            str(line.get_label()),
            (1.02, place - over),
            xycoords="axes fraction",
            color=str(line.get_color()),
            va="center",
            fontsize="small",
            annotation_clip=False,
        )
