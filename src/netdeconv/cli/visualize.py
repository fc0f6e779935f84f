"""``netdeconv visualize``: every figure of a run's network, or of a network before training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from netdeconv.cli.parser import UsageError, parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Draw what whitening does in a network: covariances, filters, spectra, ranks, sparsity, weights, memory, curves.

    Args:
        subject: run directory, or a network by name as it is before training.
        image: file of the image that is deconvolved; else an embedded photograph.
        layer: whitened layer whose covariance and filters are drawn; else the first.
        output: folder of the figures; else figures in the run directory, or figures-NETWORK here.
        formats: of the files.
        norm: normalisation of a network before training.
        data: embedded images that a network before training is shown.
        data_dir: folder with the data sets, where it is not the run's.
    """

    subject: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|ARCH")]
    image: str | None = None
    layer: str | None = None
    output: Annotated[str | None, tyro.conf.arg(aliases=("-o",))] = None
    formats: tuple[Literal["svg", "png", "pdf", "webp"], ...] = ("svg", "png")
    norm: str = "default"
    data: Literal["photographs", "digits"] = "photographs"
    data_dir: str | None = None


def main(arguments: Sequence[str]) -> int:
    """Draw, and say where everything is."""
    options = parse(Options, arguments, prog="netdeconv visualize")
    # Only now: they import what draws and what trains.
    from netdeconv import viz
    from netdeconv.report.figures import draw_all, subject_of_arch, subject_of_run
    from netdeconv.report.runs import find_runs

    folder = Path(options.subject).expanduser()
    if folder.exists() or "/" in options.subject.removeprefix("imagenet/"):
        runs = find_runs([folder])
        if len(runs) > 1:
            raise UsageError(f"{folder} holds {len(runs)} runs: name one, such as {runs[0].path}")
        subject, output = subject_of_run(runs[0], options.data_dir), folder / "figures"
    else:
        subject = subject_of_arch(options.subject, norm=options.norm, data=options.data)
        output = Path(f"figures-{options.subject.replace('/', '-')}")
    output = Path(options.output) if options.output else output
    figures, missing = draw_all(subject, image=options.image, layer=options.layer)
    for name, figure in figures.items():
        viz.save(figure, output / name, options.formats)
    for text in missing:
        print(f"not drawn: {text}" if text not in subject.notes else f"note: {text}")
    print(f"{len(figures)} figures: {output}")
    return 0
