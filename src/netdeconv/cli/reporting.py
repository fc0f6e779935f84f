"""Who is told of the progress of several runs, and how an interruption of them is told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netdeconv.training import Reporter


@contextlib.contextmanager
def reporters(show: bool) -> Iterator[Callable[[str], Reporter]]:
    """Give a function from a run's label to its reporter: live bars in a terminal, plain lines elsewhere.

    Args:
        show: whether to show anything.
    """
    from rich.console import Console

    from netdeconv.training import LiveBars, PlainLines, Silent

    if not show:
        yield lambda label: Silent()
    elif (console := Console()).is_terminal:
        with LiveBars(console) as bars:
            yield bars.bar
    else:
        yield PlainLines
