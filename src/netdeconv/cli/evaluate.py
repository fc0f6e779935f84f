"""``netdeconv evaluate``: what a finished run's network reaches, without training it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal

import tyro

from netdeconv.cli.parser import parse
from netdeconv.training.config import DeviceName


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Measure the network of a run again, on its evaluation images or the test images.

    Args:
        run: run directory.
        split: part of the data set, such as test; else the one that the run was evaluated on.
        statistics: whether layers use running statistics or each batch's own.
        data_dir: folder with the data sets, where it is not the run's.
        device: where to compute.
        threads: processor threads; else torch's choice.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    split: str = ""
    statistics: Literal["running", "batch"] = "running"
    data_dir: str | None = None
    device: DeviceName = "auto"
    threads: int | None = None


def main(arguments: Sequence[str]) -> int:
    """Measure as the arguments say."""
    options = parse(Options, arguments, prog="netdeconv evaluate")
    from netdeconv.tasks.trained import load_trained
    from netdeconv.training.devices import device_type, process_settings

    with process_settings(options.threads):
        trained = load_trained(options.run, device=device_type(options.device))
        measured = trained.measure(options.split, data_dir=options.data_dir, batch=options.statistics == "batch")
    numbers = (f"{name} {value:.4f}" for name, value in measured.items() if isinstance(value, float))
    print(f"{options.run}, {measured['evaluated_on']} images: {', '.join(numbers)}")
    return 0
