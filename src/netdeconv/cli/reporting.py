"""Tables of what several runs gave."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any


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
