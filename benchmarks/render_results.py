"""Write README's results section from results/*.json, so that no number is typed by hand.

    python benchmarks/render_results.py            rewrites the block between the markers
    python benchmarks/render_results.py --check    only tells whether it is up to date

Each JSON file is one table: ``name``, ``command`` (what made it), ``config``, ``seed`` (or a list),
``versions``, ``hardware``, ``minutes`` and ``rows``, a list of objects with the same keys in display
order. An optional ``note`` is printed under the table.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
KEYS = ("name", "command", "config", "seed", "versions", "hardware", "minutes", "rows")


def load(path: Path) -> dict[str, Any]:
    """Read one results file; raises ValueError naming the file when a key is missing or rows differ."""
    table = json.loads(path.read_text(encoding="utf-8"))
    missing = [key for key in KEYS if key not in table]
    if missing:
        raise ValueError(f"{path.name} lacks {missing}")
    if not table["rows"] or any(list(row) != list(table["rows"][0]) for row in table["rows"]):
        raise ValueError(f"{path.name}: rows must be present and have the same keys in the same order")
    return table


def cell(value: object) -> str:
    """A value as the table shows it; lists (one entry an epoch) with spaces between."""
    if isinstance(value, list):
        return " ".join(map(cell, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value).replace("|", "\\|")


def render_table(table: dict[str, Any]) -> str:
    """One results file as Markdown: title, where it comes from, table, note."""
    columns = list(table["rows"][0])
    lines = [f"### {table['name']}", "", "| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(cell(row[key]) for key in columns) + " |" for row in table["rows"]]
    seeds = table["seed"] if isinstance(table["seed"], list) else [table["seed"]]
    lines += ["", f"`{table['command']}`; seed {', '.join(map(str, seeds))}; {table['hardware']}; "]
    lines[-1] += f"{cell(table['minutes'])} minutes."
    return "\n".join([*lines, *(["", table["note"]] if table.get("note") else [])])


def render(folder: Path) -> str:
    """The whole block, markers included, from the JSON files of ``folder`` in order of their names."""
    tables = [render_table(load(path)) for path in sorted(folder.glob("*.json"))]
    return "\n\n".join([BEGIN, *(tables or ["No results are recorded yet."]), END])


def replace_block(text: str, block: str) -> str:
    """``text`` with what stands between the markers replaced; raises ValueError without markers."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"README needs exactly one {BEGIN} and one {END}")
    return text[: text.index(BEGIN)] + block + text[text.index(END) + len(END) :]


def main() -> int:
    """Rewrite or check README.md; returns the exit status."""
    readme = REPOSITORY / "README.md"
    before = readme.read_text(encoding="utf-8")
    after = replace_block(before, render(REPOSITORY / "results"))
    if "--check" in sys.argv[1:]:
        print("up to date" if before == after else "README.md is not what results/ says")
        return int(before != after)
    readme.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
