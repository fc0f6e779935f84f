"""Loss and score of runs, against epochs and against seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def curves(
    histories: Mapping[str, Sequence[Mapping[str, Any]]], *, title: str = "", metric: str = "accuracy"
) -> Figure:
    """Draw what runs measured after every epoch.

    Args:
        histories: for every run's label its records, as in ``metrics.jsonl``.
        title: above the figure.
        metric: key of the score, in per cent.

    Returns:
        A figure of four panels: training loss and score in evaluation, against epochs and against
        seconds of training. It belongs to no window: save it with ``savefig``.

    Raises:
        ValueError: when there is nothing to draw.
    """
    if not any(histories.values()):
        raise ValueError("there are no epochs to draw")
    figure = Figure(figsize=(10, 7), layout="constrained")
    if title:
        figure.suptitle(title)
    evaluated_on = next(history for history in histories.values() if history)[0]["evaluated_on"]
    rows = {"train_loss": "training loss", metric: f"{evaluated_on} {in_words(metric)} (%)"}
    columns = {"epoch": "epochs", "cumulative_seconds": "seconds of training"}
    panels = figure.subplots(2, 2, sharex="col", sharey="row")
    for row, (measure, measure_label) in zip(panels, rows.items(), strict=True):
        for panel, (time, time_label) in zip(row, columns.items(), strict=True):
            _draw(panel, histories, time, measure)
            panel.set_xlabel(time_label)
            panel.set_ylabel(measure_label)
    panels[0][0].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0][0].legend()
    return figure


def in_words(metric: str) -> str:
    """Return what a score is called: ``mean_iou`` is the mean IoU."""
    return metric.replace("_", " ").replace("iou", "IoU")


def _draw(panel: Axes, histories: Mapping[str, Sequence[Mapping[str, Any]]], time: str, measure: str) -> None:
    for label, history in histories.items():
        panel.plot(
            [record[time] for record in history],
            [record[measure] for record in history],
            marker=".",
            label=label,
        )
    panel.grid(alpha=0.3)
    panel.tick_params(labelbottom=True, labelleft=True)
