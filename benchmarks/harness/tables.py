"""One measurement as a table: on the screen, and as a JSON file in results/benchmarks/."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness.environment import hardware, prepare, versions
from benchmarks.pages.markdown import REPOSITORY, cell, compact, render_rows

FOLDER = REPOSITORY / "results" / "benchmarks"


def build(
    name: str,
    *,
    command: str,
    seed: int,
    device: torch.device,
    begun: float,
    rows: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any] | None = None,
    note: str = "",
    parts: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """A table in the form that results/README.md describes.

    Args:
        name: title.
        command: what repeats the measurement.
        seed: of weights, data and order.
        device: what was measured.
        begun: ``time.perf_counter()`` at the start.
        rows: :func:`align` gives them the same keys.
        config: every setting that matters.
        note: what a reader has to know.
        parts: further tables, ``name`` and ``rows``.
    """
    table: dict[str, Any] = {
        "name": name,
        "command": command,
        "config": dict(config or {}),
        "seed": seed,
        "versions": versions(),
        "hardware": hardware(device),
        "minutes": round((time.perf_counter() - begun) / 60, 1),
        "rows": align(rows),
    }
    if note:
        table["note"] = note
    if parts:
        table["parts"] = [{**part, "rows": align(part["rows"])} for part in parts]
    return table


def one_by_one(
    name: str, rows: Iterable[Mapping[str, Any]], output: Path, *, command: str, config: Mapping[str, Any] | None = None
) -> None:
    """Measure rows on one thread of the processor as they are asked for, show each, and write the table."""
    begun, device, found = time.perf_counter(), prepare("cpu", 1), list[Mapping[str, Any]]()
    for row in rows:
        found.append(row)
        print(row, flush=True)
    write(build(name, command=command, config=config, seed=0, device=device, begun=begun, rows=found), output)


def align(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the same keys in the same order, "error" last; what a row lacks is None."""
    keys = sorted(dict.fromkeys(key for row in rows for key in row), key=lambda key: key == "error")
    return [{key: row.get(key) for key in keys} for row in rows]


def write(table: Mapping[str, Any], path: Path) -> None:
    """Write the file and say where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    print(f"written: {path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path}", flush=True)


def show(table: Mapping[str, Any]) -> None:
    """Print a table and its parts."""
    for part in (table, *table.get("parts", [])):
        _show(part["name"], part["rows"])
    if table.get("note"):
        print(table["note"])


def _show(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:  # a machine with torch alone
        print(f"\n{name}\n\n{render_rows(rows)}\n")
        return
    table = Table(title=name, title_justify="left")
    shown = compact(rows)
    for number, column in enumerate(shown[0]):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in shown:
        table.add_row(*(cell(value) for value in row.values()))
    console = Console()
    # a log file has no width: rich would squeeze the table into 80 columns
    (console if console.is_terminal else Console(width=160)).print(table)
