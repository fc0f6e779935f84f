"""Write docs/compatibility.md from results/checks/compatibility.json, or ``--check`` it; draw the figure of memory."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from benchmarks.pages.markdown import BEGIN, END, REPOSITORY, cell, load, render_rows, update

SOURCE = REPOSITORY / "results" / "checks" / "compatibility.json"
MEMORY = REPOSITORY / "results" / "checks" / "memory.json"
PAGE = REPOSITORY / "docs" / "compatibility.md"
FIGURE = REPOSITORY / "docs" / "figures" / "memory.png"
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
    if not row["norms left"].startswith("0 ") and not row["norms left, why"]:
        found.append("norms left without a reason")
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
        "network": f"{row['network']} {'*' * row.get('older', 0)}".strip(),
        "pixels": row.get("pixels"),
        "steps": row.get("steps"),
        "whitened": row.get("whitened"),
        "norms left": " ".join(filter(None, [row.get("norms left"), row.get("norms left, why")])),
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
    notes = [table["note"]] if table.get("note") else []
    return "\n\n".join([BEGIN, head, render_rows([_shown(row) for row in rows]), origin, *notes, END])


def draw(table: Mapping[str, Any]) -> Figure:
    """Memory of a whitened training step over batch norm's, a bar for each network with a norm."""
    from netdeconv.viz.style import AFTER, styled

    @styled
    def drawn() -> Figure:
        rows = sorted(table["rows"], key=lambda row: row["ratio"], reverse=True)
        figure = Figure(figsize=(7, 0.19 * len(rows) + 1.2), layout="constrained")
        axes = figure.subplots()
        bars = axes.barh(
            [row["network"].partition("/")[2] for row in rows], [row["ratio"] for row in rows], color=AFTER
        )
        axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=7)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.tick_params(axis="y", labelsize=7)
        axes.margins(y=0.01)
        axes.set_xlabel("memory that a training step keeps for its backward pass: whitened over original", fontsize=9)
        axes.set_title("left of the line whitening saves memory (squeezenet has no norm to lose)", fontsize=9)
        return figure

    return drawn()


def main() -> int:
    """Write the page and draw, or only tell whether the page is up to date; returns the exit status."""
    check = "--check" in sys.argv[1:]
    if not check and MEMORY.exists():
        draw(load(MEMORY)).savefig(FIGURE, dpi=110)
    return update(PAGE, render(load(SOURCE)), check=check)


if __name__ == "__main__":
    raise SystemExit(main())
