"""Runs of a fraction of a second, for the tests of everything above the library."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from netdeconv.data.config import DataConfig
from netdeconv.models import NormConfig
from netdeconv.tasks import Classification
from netdeconv.training.config import NetworkConfig, OptimizerConfig, TrainingConfig
from netdeconv.training.progress import Reporter

TIMES = ("seconds", "cumulative_seconds", "seconds_per_step")


def small_config(path: Path, **changes: Any) -> TrainingConfig:
    """A whitened LeNet on 320 digits; its frozen first layer is in both phases within an epoch."""
    norm = NormConfig(name="paper", group_size=4, linear_group_size=32, freeze=(3, 7))
    config = TrainingConfig(
        task=Classification(),
        data=DataConfig(dataset="digits", train_size=320, batch_size=32),
        network=NetworkConfig(arch="lenet", width=0.5, norm=norm),
        optimizer=OptimizerConfig(lr=0.02),
        epochs=3,
        recalibration=2,
        threads=1,
        result_path=str(path),
    )
    return dataclasses.replace(config, **changes)


def plain_config(path: Path, **changes: Any) -> TrainingConfig:
    """A perceptron with batch norm on 320 digits."""
    return small_config(path, network=NetworkConfig(arch="mlp", width=0.25), **changes)


def numbers(history: Any) -> list[dict[str, Any]]:
    """Records without the times, which differ from run to run."""
    return [{name: value for name, value in record.items() if name not in TIMES} for record in history]


class StopAt(Reporter):
    """Ctrl-C after a step."""

    def __init__(self, epoch: int, step: int) -> None:
        self.at = (epoch, step)

    def step(self, *, epoch: int, step: int, images: int, loss: float) -> None:
        del images, loss
        if (epoch, step) == self.at:
            raise KeyboardInterrupt
