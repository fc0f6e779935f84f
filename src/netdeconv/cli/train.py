"""``netdeconv train``: one network, one run directory."""

from __future__ import annotations

from collections.abc import Sequence

from netdeconv.cli.runs import RunOptions, saved_run, settings, trained
from netdeconv.data.config import DataConfig
from netdeconv.tasks import Classification
from netdeconv.training.config import TrainingConfig

DEFAULT = RunOptions(
    config=TrainingConfig(task=Classification(), data=DataConfig(dataset="cifar10"), loggers=("csv", "tensorboard"))
)


def options_of(arguments: Sequence[str]) -> RunOptions:
    """Return what was typed."""
    return settings(arguments, DEFAULT, prog="netdeconv train", saved=saved_run)[0]


def main(arguments: Sequence[str]) -> int:
    """Train as the arguments say."""
    trained(options_of(arguments))
    return 0
