"""What a run measured."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a run measured.

    Args:
        path: its directory.
        history: one record an epoch, as in ``metrics.jsonl``.
        model: the trained network; with weight averaging, the averaged one.
        metric: key of the headline score in the records.
    """

    path: Path
    history: tuple[dict[str, Any], ...]
    model: nn.Module = dataclasses.field(repr=False)
    metric: str = "accuracy"

    @property
    def score(self) -> float:
        """The headline score after the last epoch, in per cent."""
        return float(self.history[-1][self.metric])

    @property
    def accuracy(self) -> float:
        """Accuracy after the last epoch, in per cent."""
        return float(self.history[-1]["accuracy"])

    @property
    def seconds(self) -> float:
        """Seconds of training, without evaluation."""
        return float(self.history[-1]["cumulative_seconds"])

    @property
    def seconds_per_step(self) -> float:
        """Median over the epochs of the median step."""
        return statistics.median(record["seconds_per_step"] for record in self.history)


def best_record(history: Sequence[dict[str, Any]], metric: str) -> dict[str, Any]:
    """Return the record with the highest score, the first of equals."""
    return max(history, key=lambda record: float(record[metric]))


def summary(result: RunResult) -> dict[str, Any]:
    """Return the numbers of a finished run; the best epoch only where it was not chosen on test images."""
    last = result.history[-1]
    numbers = {
        "epochs": len(result.history),
        "evaluated_on": last["evaluated_on"],
        "metric": result.metric,
        result.metric: result.score,
        "accuracy": result.accuracy,
        "loss": last["loss"],
        "seconds": result.seconds,
        "seconds_per_step": result.seconds_per_step,
        "parameters": sum(parameter.numel() for parameter in result.model.parameters()),
    }
    if last["evaluated_on"] != "test":
        best = best_record(result.history, result.metric)
        numbers |= {"best_epoch": best["epoch"], f"best_{result.metric}": best[result.metric]}
    return numbers
