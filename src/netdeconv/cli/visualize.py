"""``netdeconv visualize``: every figure of a run's network."""

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
        run: run directory.
        image: file of the image that is deconvolved; else an embedded photograph.
        layer: whitened layer whose covariance and filters are drawn; else the first.
        output: folder of the figures; else figures in the run directory.
        formats: of the files.
        data_dir: folder with the data sets, where it is not the run's.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    image: str | None = None
    layer: str | None = None
    output: Annotated[str | None, tyro.conf.arg(aliases=("-o",))] = None
    formats: tuple[Literal["svg", "png", "pdf", "webp"], ...] = ("svg", "png")
    data_dir: str | None = None


def main(arguments: Sequence[str]) -> int:
    """Draw, and say where everything is."""
    options = parse(Options, arguments, prog="netdeconv visualize")
    # Only now: they import what draws and what trains.
    from netdeconv import viz
    from netdeconv.report.figures import draw_all, shown_images
    from netdeconv.report.runs import find_runs
    from netdeconv.tasks.trained import load_trained

    runs = find_runs([options.run])
    if len(runs) > 1:
        raise UsageError(f"{options.run} holds {len(runs)} runs: name one, such as {runs[0].path}")
    trained = load_trained(runs[0].path)
    batch = shown_images(trained, options.data_dir)
    output = Path(options.output) if options.output else runs[0].path / "figures"
    figures, missing = draw_all(trained.network, batch, runs[0], image=options.image, layer=options.layer)
    for name, figure in figures.items():
        viz.save(figure, output / name, options.formats)
    for text in missing:
        print(f"not drawn: {text}")
    print(f"{len(figures)} figures: {output}")
    return 0
