"""``netdeconv segment``: one segmentation network, one run directory, and pictures of what it predicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from netdeconv.cli.parser import UsageError
from netdeconv.cli.runs import Options as RunOptions
from netdeconv.cli.runs import saved_run, settings, trained
from netdeconv.data.config import DataConfig
from netdeconv.tasks import Segmentation
from netdeconv.training.config import NetworkConfig, OptimizerConfig, TrainingConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Train and evaluate a segmentation network, with batch norm or with network deconvolution.

    Args:
        overlays: pictures of predictions, drawn when all epochs are done.
    """

    overlays: int = 4


DEFAULT = Options(
    config=TrainingConfig(
        task=Segmentation(),
        data=DataConfig(dataset="cityscapes", batch_size=8),
        network=NetworkConfig(arch="deeplabv3_resnet50"),
        optimizer=OptimizerConfig(schedule="poly", weight_decay=1e-4),
        epochs=30,
        loggers=("csv", "tensorboard"),
    )
)


def options_of(arguments: Sequence[str]) -> Options:
    """Return what was typed.

    Raises:
        ValueError: when a name is unknown, with the nearest one, or options contradict each other.
        DataError: when a mask does not fit the data set.
    """
    options, _ = settings(arguments, DEFAULT, prog="netdeconv segment", split=split, saved=saved_run)
    if options.overlays < 0:
        raise UsageError(f"--overlays must not be negative, got {options.overlays}")
    return options


def split(name: str) -> tuple[str, bool]:
    """Return the network that a name means, and whether a ``d`` at the end says that it is converted."""
    from netdeconv.models.entry import split_name
    from netdeconv.models.segmentation import KIND, SEGMENTATION_NETWORKS

    return split_name(KIND, name, SEGMENTATION_NETWORKS)


def main(arguments: Sequence[str]) -> int:
    """Train as the arguments say."""
    options = options_of(arguments)
    result = trained(options)
    if result is not None and options.overlays:
        from netdeconv.report.mistakes import scenes
        from netdeconv.tasks.trained import load_trained

        scenes(load_trained(result.path), options.overlays).savefig(result.path / "overlays.png", dpi=100)
    return 0
