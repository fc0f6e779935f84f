"""``netdeconv watch``: a run in the terminal, while it trains or afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import tyro

from netdeconv.cli.parser import UsageError, parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Show a run's numbers, curves, remaining time and the health of its whitened layers; Ctrl-C ends it.

    Args:
        run: run directory, or a folder of several.
        every: seconds between looks.
        once: look once and end.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    every: float = 2.0
    once: bool = False


def main(arguments: Sequence[str]) -> int:
    """Watch until the run has finished."""
    options = parse(Options, arguments, prog="netdeconv watch")
    if options.every <= 0:
        raise UsageError(f"--every must be positive, got {options.every:g}")
    from rich.console import Console

    from netdeconv.report.dashboard import watch  # only now: it imports what trains

    return watch(options.run, console=Console(), every=options.every, once=options.once)
