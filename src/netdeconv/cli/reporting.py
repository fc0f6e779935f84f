"""Who is told of the progress of several runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console

from netdeconv.training import LiveBars, PlainLines, Reporter, Silent


@contextlib.contextmanager
def reporters(show: bool) -> Iterator[Callable[[str], Reporter]]:
    """Give a function from a run's label to its reporter: live bars in a terminal, plain lines elsewhere.

    Args:
        show: whether to show anything.
    """
    if not show:
        yield lambda label: Silent()
    elif (console := Console()).is_terminal:
        with LiveBars(console) as bars:
            yield bars.bar
    else:
        yield PlainLines
