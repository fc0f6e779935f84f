"""Write docs/compatibility.md from results/checks/compatibility.json, or ``--check`` it."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.render_results import BEGIN, END, REPOSITORY, cell, load, render_rows, update

SOURCE = REPOSITORY / "results" / "checks" / "compatibility.json"
PAGE = REPOSITORY / "docs" / "compatibility.md"
# What passes, relative to the largest output where it is a difference.
FIRST, LAST, EVALUATION, FOLDED, CALIBRATED = 1.5, 0.5, 2.0, 1e-4, 1e-3

_PASSED = (
    "{passed} of {all} networks pass. With the running statistics that two steps leave, without `recalibrate`, "
    "{running} of {all} evaluate within the factor, too."
)


def failures(row: Mapping[str, Any]) -> list[str]:
    """What a row does not pass."""
    if row.get("error"):
        return [str(row["error"])[:160]]
    found = []
    if not row["first loss, converted"] <= FIRST * row["first loss, batch norm"]:
        found.append("first loss")
    if not row["last loss, converted"] <= row["last loss, batch norm"] + LAST:
        found.append("last loss")
    if not _evaluates(row, "recalibrated"):
        found.append("evaluation")
    if not row["folded, difference"] <= FOLDED:
        found.append("fold")
    if not row["calibration, difference"] <= CALIBRATED:
        found.append("calibration")
    return found


def _evaluates(row: Mapping[str, Any], how: str) -> bool:
    value, reference = row.get(f"evaluated, {how}"), row.get("evaluated, batch statistics")
    return value is not None and reference is not None and math.isfinite(value) and value <= EVALUATION * reference


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    def pair(*keys: str) -> str:
        return " / ".join(cell(None if row.get(key) is None else float(f"{row[key]:.3g}")) for key in keys)

    return {
        "network": row["network"],
        "pixels": row.get("pixels"),
        "steps": row.get("steps"),
        "whitened": row.get("whitened"),
        "norms left": row.get("norms left"),
        "first loss": pair("first loss, batch norm", "first loss, converted"),
        "last loss": pair("last loss, batch norm", "last loss, converted"),
        "evaluation": pair(*(f"evaluated, {how}" for how in ("batch statistics", "running", "recalibrated"))),
        "folded": pair("folded, difference"),
        "calibrated": pair("calibration, difference"),
        "fails": "; ".join(failures(row)),
    }


def render(table: Mapping[str, Any]) -> str:
    """The page's block, markers included."""
    rows = table["rows"]
    head = _PASSED.format(
        passed=sum(not failures(row) for row in rows),
        all=len(rows),
        running=sum(_evaluates(row, "running") for row in rows),
    )
    origin = f"`{table['command']}`; {table['hardware']}; {cell(table['minutes'])} minutes."
    return "\n\n".join([BEGIN, head, render_rows([_shown(row) for row in rows]), origin, END])


def main() -> int:
    """Write the page, or only tell whether it is up to date; returns the exit status."""
    return update(PAGE, render(load(SOURCE)), check="--check" in sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
