"""Scores over the learning rate: of normalisations, and of a search that varies the weight decay too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from netdeconv.viz.style import MARKERS, styled

_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7")


@styled
def rate_map(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Return the figure of an experiment's summary.

    Args:
        rows: with ``data``, ``normalisation`` and a column ``lr X`` for every learning rate.
    """
    sets = list(dict.fromkeys(str(row["data"]) for row in rows))
    names = list(dict.fromkeys(str(row["normalisation"]) for row in rows))
    figure = Figure(figsize=(3.2 * len(sets), 3.0), layout="constrained")
    axes = figure.subplots(1, len(sets), squeeze=False)[0]
    for axis, data in zip(axes, sets, strict=True):
        for row in rows:
            if row["data"] != data:
                continue
            cells = {float(key.removeprefix("lr ")): row[key] for key in row if key.startswith("lr ")}
            points = sorted((rate, value) for rate, value in cells.items() if value is not None)
            index = names.index(row["normalisation"]) % len(_COLOURS)
            axis.plot(*zip(*points, strict=True), color=_COLOURS[index], marker=MARKERS[index], label=names[index])
        axis.set(xscale="log", title=data, xlabel="learning rate")
    axes[0].set_ylabel("accuracy (%)")
    axes[0].legend(fontsize="small", frameon=False)
    return figure


@styled
def search_map(rows: Sequence[Mapping[str, Any]], *, title: str = "") -> Figure:
    """Draw where the scores of a search are high.

    Args:
        rows: with ``lr``, ``weight decay``, ``score`` in per cent and ``state``; those that are not finished are
            crosses.
        title: above the figure.
    """
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    done = [row for row in rows if row["state"] == "finished"]
    rest = [row for row in rows if row["state"] != "finished"]
    axes.scatter([row["lr"] for row in rest], [row["weight decay"] for row in rest], c="0.4", marker="x", s=80)
    if done:
        scores = [row["score"] for row in done]
        drawn = axes.scatter([row["lr"] for row in done], [row["weight decay"] for row in done], c=scores, s=80)
        figure.colorbar(drawn, ax=axes, label="score (%)")
    decays = [row["weight decay"] for row in rows if row["weight decay"]]
    axes.set(xscale="log", xlabel="learning rate", ylabel="weight decay", title=title)
    axes.set_yscale("symlog", linthresh=min(decays, default=1e-5))  # a decay of 0 has a place
    return figure
