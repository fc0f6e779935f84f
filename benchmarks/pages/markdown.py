"""Results files as Markdown tables, and the block of a page in which they stand.

Each JSON file is one table: ``name``, ``command`` (what made it), ``config``, ``seed`` (or a list), ``versions``,
``hardware``, ``minutes`` and ``rows``, a list of objects with the same keys in display order. An optional ``note`` is
printed under the table, and after it optional ``parts``: further tables of the same measurement, each with a ``name``
and ``rows``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent.parent
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
KEYS = ("name", "command", "config", "seed", "versions", "hardware", "minutes", "rows")
_LONG = 200  # characters of a command that a page does not show
Row = Mapping[str, Any]


def load(path: Path) -> dict[str, Any]:
    """Read one results file; raises ValueError naming the file when a key is missing or rows differ."""
    table = json.loads(path.read_text(encoding="utf-8"))
    missing = [key for key in KEYS if key not in table]
    if missing:
        raise ValueError(f"{path.name} lacks {missing}")
    for rows in (table["rows"], *(part["rows"] for part in table.get("parts", []))):
        if not rows or any(list(row) != list(rows[0]) for row in rows):
            raise ValueError(f"{path.name}: rows must be present and have the same keys in the same order")
    return table


def cell(value: object) -> str:
    """A value as the table shows it; lists (one entry an epoch) with spaces between."""
    if isinstance(value, list):
        return " ".join(map(cell, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value).replace("|", "\\|")


def compact(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows as they are shown: a column ``X, quartiles`` stands in brackets behind the value of ``X``."""
    ending = ", quartiles"
    return [
        {
            key: f"{cell(value)} ({cell(row[key + ending])})" if row.get(key + ending) else value
            for key, value in row.items()
            if not key.endswith(ending)
        }
        for row in rows
    ]


def render_rows(rows: Sequence[Row]) -> str:
    """Rows with the same keys as a Markdown table, without columns that are empty throughout."""
    rows = compact(rows)
    columns = [key for key in rows[0] if any(row[key] is not None for row in rows)]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(cell(row[key]) for key in columns) + " |" for row in rows]
    return "\n".join(lines)


def origin(table: Row, file: str = "") -> str:
    """Where a table comes from: its command, which is in the file where it is long."""
    seeds = ", ".join(map(str, table["seed"] if isinstance(table["seed"], list) else [table["seed"]]))
    command = f"`{table['command']}`"
    if file:
        rows = table["command"].partition(" '")[0]
        short = command if len(command) <= _LONG else f"`{rows} ...` with the rows named there"
        command = f"[{file}](../results/{file}), {short}"
    return f"{command}; seed {seeds}; {table['hardware']}; {cell(table['minutes'])} minutes."


def render_table(table: Row, file: str = "") -> str:
    """One results file as Markdown: title, table, where it comes from, note, further tables."""
    lines = [f"### {table['name']}", "", render_rows(table["rows"]), "", origin(table, file)]
    lines += ["", table["note"]] if table.get("note") else []
    for part in table.get("parts", []):
        lines += ["", f"#### {part['name']}", "", render_rows(part["rows"])]
    return "\n".join(lines)


def replace_block(text: str, block: str) -> str:
    """``text`` with what stands between the markers replaced; raises ValueError without markers."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"the page needs exactly one {BEGIN} and one {END}")
    return text[: text.index(BEGIN)] + block + text[text.index(END) + len(END) :]


def update(page: Path, block: str, *, check: bool) -> int:
    """Rewrite a page's block, or only tell whether it is up to date; returns the exit status."""
    before = page.read_text(encoding="utf-8")
    after = replace_block(before, block)
    if check:
        print(f"{page.name} is {'up to date' if before == after else 'not what results/ says'}")
        return int(before != after)
    page.write_text(after, encoding="utf-8")
    return 0
