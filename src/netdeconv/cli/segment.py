"""``netdeconv segment``: one segmentation network, one run directory, and pictures of what it predicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

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
    from netdeconv.models.segmentation import parse_segmentation_name

    return parse_segmentation_name(name)


def main(arguments: Sequence[str]) -> int:
    """Train as the arguments say."""
    options = options_of(arguments)
    result = trained(options)
    if result is None:
        return 0
    if options.overlays:
        draw(result.path, options.overlays)
    last, best = result.history[-1], max(result.history, key=lambda record: float(record["mean_iou"]))
    print(
        f"{last['evaluated_on']} mean IoU {result.score:.2f} %, pixel accuracy {result.accuracy:.2f} % after "
        f"{len(result.history)} epochs (best mean IoU {best['mean_iou']:.2f} % after epoch {best['epoch']}, chosen on "
        f"{last['evaluated_on']}), {result.seconds:.1f} s of training, {1000 * result.seconds_per_step:.0f} ms a step; "
        f"results in {result.path}"
    )
    return 0


def draw(folder: Path, count: int) -> None:
    """Write a run's predictions of some images that it was evaluated on, beside the images and the truth."""
    from netdeconv.tasks.trained import BEST, LAST, TrainedSegmentation
    from netdeconv.viz import overlay, panels

    network = TrainedSegmentation.load(folder, file=BEST if (folder / BEST).exists() else LAST)
    classes = network.info.classes
    shown = list(network.evaluation_source().first(count))
    rows = [
        [image, overlay(image, truth, classes), overlay(image, network.predict(image), classes)]
        for _, image, truth in shown
    ]
    figure = panels(rows, ["image", "truth", "prediction"], classes, names=[name for name, *_ in shown])
    figure.savefig(folder / "overlays.png", dpi=100)
