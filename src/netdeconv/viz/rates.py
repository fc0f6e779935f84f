"""Scores over the learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from netdeconv.viz.style import MARKERS, styled

_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

# Of more names a legend would hide lines.
_MOST_INSIDE = 4


@styled
def rate_map(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Return the figure of an experiment's summary.

    Args:
        rows: with ``data``, ``normalisation`` and a column ``lr X`` for every learning rate.
    """
    sets = list(dict.fromkeys(str(row["data"]) for row in rows))
    names = list(dict.fromkeys(str(row["normalisation"]) for row in rows))
    most = max(sum(row["data"] == data for row in rows) for data in sets)
    figure = Figure(figsize=(3.2 * len(sets), 3.0 if most <= _MOST_INSIDE else 4.4), layout="constrained")
    axes, explained = figure.subplots(1, len(sets), squeeze=False)[0], set[str]()
    for axis, data in zip(axes, sets, strict=True):
        for row in rows:
            if row["data"] != data:
                continue
            cells = {float(key.removeprefix("lr ")): row[key] for key in row if key.startswith("lr ")}
            points = sorted((rate, value) for rate, value in cells.items() if value is not None)
            # where names are more than colours, those of one panel are told apart
            name, number = str(row["normalisation"]), len(axis.lines)
            index = names.index(name) if len(names) <= len(_COLOURS) else number % len(_COLOURS)
            axis.plot(*zip(*points, strict=True), color=_COLOURS[index], marker=MARKERS[index], label=name)
        axis.set(xscale="log", title=data, xlabel="learning rate")
        own = {str(line.get_label()) for line in axis.lines}
        if not own <= explained:  # panels of the same names need one legend
            under = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.22)} if len(own) > _MOST_INSIDE else {}
            axis.legend(fontsize="small", frameon=False, **under)
            explained |= own
    axes[0].set_ylabel("accuracy (%)")
    return figure
