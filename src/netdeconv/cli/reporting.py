"""Who is told of the progress of several runs, and tables of what they gave."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netdeconv.training import Reporter


@contextlib.contextmanager
def reporters(show: bool) -> Iterator[Callable[[str], Reporter]]:
    """Give a function from a run's label to its reporter: live bars in a terminal, plain lines elsewhere.

    Args:
        show: whether to show anything.
    """
    from rich.console import Console

    from netdeconv.training import PlainLines, Silent, live_bars

    if not show:
        yield lambda label: Silent()
    elif (console := Console()).is_terminal:
        with live_bars(console) as bar:
            yield bar
    else:
        yield PlainLines


def lines_text(title: str, lines: Sequence[Mapping[str, Any]]) -> str:
    """Return lines with the same keys as a table, a title above; as wide as it needs, whatever the terminal is."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for number, heading in enumerate(lines[0] if lines else ()):
        table.add_column(heading, justify="right" if number else "left")
    for line in lines:
        table.add_row(*(_cell(value) for value in line.values()))
    buffer = io.StringIO()
    Console(file=buffer, width=1000, color_system=None).print(table)
    return f"{title}\n{buffer.getvalue()}"


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
