"""``netdeconv segment``: one segmentation network, one run directory, and pictures of what it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netdeconv.cli.argparser import Option, Parser, UsageError
from netdeconv.cli.segmentation_options import add_options, segmentation_config
from netdeconv.cli.train import RESUME, resumed, run_folder
from netdeconv.data import explained_deaths
from netdeconv.experiments.running.overlays import prediction_panels
from netdeconv.tasks.segmentation import Segmentation
from netdeconv.tasks.trained import BEST, LAST, TrainedSegmentation
from netdeconv.training import RunResult, is_first_process, read_config, run
from netdeconv.viz import curves

OWN: dict[str, Option] = {
    "--epochs": Option(30, "passes over the training images"),
    "-b --batch-size": Option(8, "images in a batch, all processes together"),
    "--overlays": Option(4, "pictures of predictions, drawn when all epochs are done"),
    **RESUME,
}


def parser() -> Parser:
    """Return the parser of ``netdeconv segment``."""
    built = Parser(
        prog="netdeconv segment",
        description="Train and evaluate a segmentation network, with batch norm or with network deconvolution.",
    )
    add_options(built, OWN, {})
    return built


def main(arguments: Sequence[str]) -> int:
    """Train as the arguments say."""
    options, given = parser().parse(arguments)
    if options.overlays < 0:
        raise UsageError(f"--overlays must not be negative, got {options.overlays}")
    config = segmentation_config(options, given, weigh=not options.resume or "class_weights" in given)
    if options.resume:
        _require_segmentation(options.resume)
        config = resumed(options.resume, config, given)
    with explained_deaths():
        result = run(config, progress=options.msg, resume=bool(options.resume))
    if not is_first_process():
        return 0
    title = f"{config.network.arch} on {config.data.dataset}"
    curves({config.network.arch: result.history}, title=title, metric=result.metric).savefig(
        result.path / "curves.png", dpi=120
    )
    if options.overlays:
        draw(result.path, options.overlays)
    _print_end(result)
    return 0


def _require_segmentation(folder: str) -> None:
    kind = read_config(run_folder(folder)).get("task", {}).get("name")
    if kind != Segmentation.name:
        raise UsageError(f"{folder} holds a run of {kind}: `netdeconv train --resume` continues it")


def draw(folder: Path, count: int) -> None:
    """Write a run's predictions of some images that it was evaluated on, beside the images and the truth."""
    file = BEST if (folder / BEST).exists() else LAST
    trained = TrainedSegmentation.load(folder, file=file)
    figure = prediction_panels({"prediction": trained}, trained.evaluation_source(), count)
    figure.savefig(folder / "overlays.png", dpi=100)


def _print_end(result: RunResult) -> None:
    last, best = result.history[-1], max(result.history, key=lambda record: float(record["mean_iou"]))
    print(
        f"{last['evaluated_on']} mean IoU {result.score:.2f} %, pixel accuracy {result.accuracy:.2f} % after "
        f"{len(result.history)} epochs (best mean IoU {best['mean_iou']:.2f} % after epoch {best['epoch']}, chosen on "
        f"{last['evaluated_on']}), {result.seconds:.1f} s of training, {1000 * result.seconds_per_step:.0f} ms a step; "
        f"results in {result.path}"
    )
