"""``netdeconv report``: runs as one page that needs nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from netdeconv.cli.parser import UsageError, parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Write one page about runs: settings, curves, time to accuracy, health, mistakes, figures, how to repeat them.

    Args:
        runs: run directories, or folders of a comparison.
        output: file of the page.
        data_dir: folder with the data sets, where it is not the runs'.
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = ()
    output: Annotated[str, tyro.conf.arg(aliases=("-o",))] = "report.html"
    data_dir: str | None = None


def main(arguments: Sequence[str]) -> int:
    """Write the page and say where it is."""
    options = parse(Options, arguments, prog="netdeconv report")
    if not options.runs:
        raise UsageError("name at least one run directory")
    from netdeconv.report.page import write_report  # only now: it imports what draws and what trains

    print(f"report: {write_report(options.runs, options.output, data_dir=options.data_dir)}")
    return 0


def page(folder: Path) -> str:
    """A line that says where the page about a folder of runs is, which is written now; or why there is none."""
    from netdeconv.report.page import write_report

    try:
        return f"report, for a browser: {write_report([folder], folder / 'report.html')}\n"
    except ModuleNotFoundError as error:
        return f"no report: {error.name} is not installed\n"
