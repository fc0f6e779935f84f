"""Who is told of the progress of several runs, and tables of what they gave."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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


def table_text(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as text, the first column aligned left; as wide as it needs, whatever the terminal is."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    buffer = io.StringIO()
    Console(file=buffer, width=1000, color_system=None).print(table)
    return buffer.getvalue()


def lines_text(title: str, lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the lines of an experiment's table as text, a title above."""
    headings = list(lines[0]) if lines else []
    rows = (
        [
            "-" if line[key] is None else f"{line[key]:g}" if isinstance(line[key], float) else str(line[key])
            for key in headings
        ]
        for line in lines
    )
    return f"{title}\n{table_text(headings, rows)}"
