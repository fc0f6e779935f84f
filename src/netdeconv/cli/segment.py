"""``netdeconv segment``: one segmentation network, one run directory."""

from __future__ import annotations

from collections.abc import Sequence

from netdeconv.cli.runs import RunOptions, saved_run, settings, trained
from netdeconv.data.config import DataConfig
from netdeconv.tasks import Segmentation
from netdeconv.training.config import NetworkConfig, OptimizerConfig, TrainingConfig

DEFAULT = RunOptions(
    config=TrainingConfig(
        task=Segmentation(),
        data=DataConfig(dataset="cityscapes", batch_size=8),
        network=NetworkConfig(arch="deeplabv3_resnet50"),
        optimizer=OptimizerConfig(schedule="poly", weight_decay=1e-4),
        epochs=30,
        loggers=("csv", "tensorboard"),
    )
)


def options_of(arguments: Sequence[str]) -> RunOptions:
    """Return what was typed."""
    return settings(arguments, DEFAULT, prog="netdeconv segment", split=split, saved=saved_run)[0]


def split(name: str) -> tuple[str, bool]:
    """Return the network that a name means, and whether a ``d`` at the end says that it is converted."""
    from netdeconv.models.entry import split_name
    from netdeconv.models.segmentation import KIND, SEGMENTATION_NETWORKS

    return split_name(KIND, name, SEGMENTATION_NETWORKS)


def main(arguments: Sequence[str]) -> int:
    """Train as the arguments say."""
    trained(options_of(arguments))
    return 0
