"""Loss and score of runs, against epochs and against seconds, with the band of their seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from netdeconv.viz.style import name_lines, styled

Record = Mapping[str, Any]
History = Sequence[Record]
_STYLES = ("-", "--", "-.", ":")


@styled
def curves(histories: Mapping[str, Sequence[History]], *, title: str = "", metric: str = "accuracy") -> Figure:
    """Draw what runs measured after every epoch.

    Args:
        histories: for every label the records of a run, as in ``metrics.jsonl``, or those of several that differ by
            their seed, which are drawn as their mean and a band of one standard deviation.
        title: above the figure.
        metric: key of the score, in per cent.

    Returns:
        A figure of four panels: training loss and score in evaluation, against epochs and against
        seconds of training. It belongs to no window: save it with ``savefig``.

    Raises:
        ValueError: when there is nothing to draw.
    """
    seeds = {label: kept for label, runs in histories.items() if (kept := [run for run in runs if run])}
    if not seeds:
        raise ValueError("there are no epochs to draw")
    figure = Figure(figsize=(10, 7), layout="constrained")
    if title:
        figure.suptitle(title)
    evaluated_on = next(iter(seeds.values()))[0][0]["evaluated_on"]
    rows = {"train_loss": "training loss", metric: f"{evaluated_on} {in_words(metric)} (%)"}
    columns = {"epoch": "epochs", "cumulative_seconds": "seconds of training"}
    panels = figure.subplots(2, 2, sharex="col", sharey="row")
    for row, (measure, measure_label) in zip(panels, rows.items(), strict=True):
        for panel, (time, time_label) in zip(row, columns.items(), strict=True):
            _draw(panel, seeds, time, measure)
            panel.set_xlabel(time_label)
            panel.set_ylabel(measure_label)
            panel.tick_params(labelbottom=True, labelleft=True)
    panels[0][0].xaxis.set_major_locator(MaxNLocator(integer=True))
    for row in panels:
        name_lines(row[1])
    return figure


def in_words(metric: str) -> str:
    """Return what a score is called: ``mean_iou`` is the mean IoU."""
    return metric.replace("_", " ").replace("iou", "IoU")


def _draw(panel: Axes, seeds: Mapping[str, Sequence[History]], time: str, measure: str) -> None:
    for number, (label, runs) in enumerate(seeds.items()):
        length = min(map(len, runs))
        times, values = (
            np.array([[record[key] for record in run[:length]] for run in runs], dtype=float) for key in (time, measure)
        )
        at, mean = times.mean(0), values.mean(0)
        (line,) = panel.plot(
            at, mean, marker=".", label=label, linestyle=_STYLES[number // 7 % 4 if number > 6 else number % 4]
        )
        if len(runs) > 1:
            spread = values.std(0, ddof=1)
            panel.fill_between(at, mean - spread, mean + spread, color=line.get_color(), alpha=0.2, linewidth=0)
