"""Write README's table and figure and docs/results.md from results/*.json, so that no number is typed by hand.

    python benchmarks/render_results.py            rewrites the blocks between the markers, draws the figure
    python benchmarks/render_results.py --check    only tells whether they are up to date

Each JSON file is one table: ``name``, ``command`` (what made it), ``config``, ``seed`` (or a list),
``versions``, ``hardware``, ``minutes`` and ``rows``, a list of objects with the same keys in display
order. An optional ``note`` is printed under the table, and after it optional ``parts``: further tables of
the same measurement, each with a ``name`` and ``rows``.

``benchmarks.performance_report`` renders docs/performance.md with the functions of this file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
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


def compact(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
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


def render_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the same keys as a Markdown table."""
    rows = compact(rows)
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(cell(row[key]) for key in columns) + " |" for row in rows]
    return "\n".join(lines)


def render_table(table: dict[str, Any]) -> str:
    """One results file as Markdown: title, table, where it comes from, note, further tables."""
    lines = [f"### {table['name']}", "", render_rows(table["rows"])]
    seeds = table["seed"] if isinstance(table["seed"], list) else [table["seed"]]
    lines += ["", f"`{table['command']}`; seed {', '.join(map(str, seeds))}; {table['hardware']}; "]
    lines[-1] += f"{cell(table['minutes'])} minutes."
    lines += ["", table["note"]] if table.get("note") else []
    for part in table.get("parts", []):
        lines += ["", f"#### {part['name']}", "", render_rows(part["rows"])]
    return "\n".join(lines)


# What a reader wants first; every other file follows by name.
FIRST = ("learning-rates.json", "seconds-to-accuracy-vgg11.json", "seconds-to-accuracy-resnet18.json")
_README_DATA, _README_NORMS = ("cifar10", "fashion_mnist", "digits"), ("batch norm", "default")


def render(folder: Path) -> str:
    """All tables, markers included, from the JSON files of ``folder`` and of its part on segmentation."""
    files = [*sorted(folder.glob("*.json")), *sorted(folder.glob("segmentation/*.json"))]
    files.sort(key=lambda path: FIRST.index(path.name) if path.name in FIRST else len(FIRST))
    tables = [render_table(load(path)) for path in files]
    return "\n\n".join([BEGIN, *(tables or ["No results are recorded yet."]), END])


def render_readme(folder: Path) -> str:
    """README's one table, markers included: batch norm and the default at every learning rate."""
    table = load(folder / "learning-rates.json")
    rows = [row for row in table["rows"] if row["data"] in _README_DATA and row["normalisation"] in _README_NORMS]
    origin = f"`{table['command']}`; {table['hardware']}; mean over seeds, spread is their standard deviation."
    return "\n\n".join([BEGIN, render_rows(rows), origin, END])


def draw(folder: Path, page: Path) -> None:
    """README's figure, from the same file."""
    from netdeconv.viz import rate_map

    page.parent.mkdir(parents=True, exist_ok=True)
    rate_map(load(folder / "learning-rates.json")["rows"]).savefig(page, dpi=110)


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
        print("up to date" if before == after else f"{page.name} is not what results/ says")
        return int(before != after)
    page.write_text(after, encoding="utf-8")
    return 0


def main() -> int:
    """Rewrite README's table and figure and docs/results.md, or check the pages; returns the exit status."""
    check, results = "--check" in sys.argv[1:], REPOSITORY / "results"
    if not check:
        draw(results, REPOSITORY / "docs" / "figures" / "learning-rates.png")
    readme = update(REPOSITORY / "README.md", render_readme(results), check=check)
    return readme | update(REPOSITORY / "docs" / "results.md", render(results), check=check)


if __name__ == "__main__":
    raise SystemExit(main())
