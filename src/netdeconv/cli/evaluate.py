"""``netdeconv evaluate``: what a finished run's network reaches, without training it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import tyro

from netdeconv.cli.parser import UsageError, parse
from netdeconv.training.config import DeviceName


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Measure the network of a run again, on its evaluation images or the test images.

    Args:
        run: run directory.
        best: take the network of the best epoch (a run with --keep-best) instead of the last.
        split: part of the data set, such as test; else the one that the run was evaluated on.
        statistics: whether layers use running statistics or each batch's own.
        data_dir: folder with the data sets, where it is not the run's.
        device: where to compute.
        threads: processor threads; else torch's choice.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    best: bool = False
    split: str = ""
    statistics: Literal["running", "batch"] = "running"
    data_dir: str | None = None
    device: DeviceName = "auto"
    threads: int | None = None


def main(arguments: Sequence[str]) -> int:
    """Measure as the arguments say."""
    options = parse(Options, arguments, prog="netdeconv evaluate")
    from netdeconv.tasks.trained import TrainedSegmentation, load_trained
    from netdeconv.training.devices import device_type
    from netdeconv.training.precision import process_settings

    measured: dict[str, Any]
    with process_settings(options.threads):
        trained = load_trained(options.run, best=options.best, device=device_type(options.device))
        if isinstance(trained, TrainedSegmentation):
            if options.statistics == "batch":
                raise UsageError("--statistics batch is for classifiers")
            part = options.split or trained.task.views.evaluate_on or trained.info.splits[0]
            measured = trained.measure(part, data_dir=options.data_dir)
        else:
            if options.split not in ("", "test"):
                raise UsageError(
                    f"--split {options.split}: a classifier is measured on test images, or on those of its run"
                )
            splits = trained.splits(data_dir=options.data_dir, test=options.split == "test")
            part, measured = splits.evaluated_on, trained.measure(splits, batch=options.statistics == "batch")
    numbers = (f"{name} {value:.4f}" for name, value in measured.items() if isinstance(value, float))
    print(f"{options.run}, {part} images: {', '.join(numbers)}")
    return 0
