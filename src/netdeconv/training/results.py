"""What is written about a run: what it measured, and with which versions and hardware."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import os
import platform
import re
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

import netdeconv

_PACKAGES = ("torch", "torchvision", "lightning-fabric", "torchmetrics", "scikit-learn", "numpy")


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
    def seconds(self) -> float:
        """Seconds of training, without evaluation."""
        return float(self.history[-1]["cumulative_seconds"])

    @property
    def seconds_per_step(self) -> float:
        """Median over the epochs of the median step."""
        return statistics.median(record["seconds_per_step"] for record in self.history)

    def summary(self) -> dict[str, Any]:
        """Return the numbers of the finished run; the best epoch only where it was not chosen on test images."""
        last = self.history[-1]
        numbers = {
            "epochs": len(self.history),
            "evaluated_on": last["evaluated_on"],
            "metric": self.metric,
            self.metric: self.score,
            "accuracy": last["accuracy"],
            "loss": last["loss"],
            "seconds": self.seconds,
            "seconds_per_step": self.seconds_per_step,
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
        }
        if last["evaluated_on"] != "test":
            best = max(self.history, key=lambda record: float(record[self.metric]))
            numbers |= {"best_epoch": best["epoch"], f"best_{self.metric}": best[self.metric]}
        return numbers


def environment(device: torch.device, precision: str, processes: int = 1) -> dict[str, Any]:
    """Return what a run computes with."""
    return {
        "python": platform.python_version(),
        "netdeconv": netdeconv.__version__,
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
        "system": platform.platform(),
        "processor": _processor_name(),
        "logical_processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": precision,
        "processes": processes,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
    }


def _processor_name() -> str:
    try:
        known = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    return next(iter(re.findall(r"model name\s*: (.+)", known)), platform.machine())
