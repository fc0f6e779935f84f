"""The block of the page on fine-tuning: its table, and the accuracies in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.pages.markdown import BEGIN, END, Row, load, origin, render_rows


def render_fine_tuning(folder: Path) -> str:
    """The page of fine-tuning's block, markers included: the table, and its accuracies in words."""
    file = folder / "fine-tuning.json"
    if not file.exists():
        return "\n\n".join([BEGIN, "Not measured yet: the runs take an hour of one core.", END])
    table = load(file)
    words = [_compared([row for row in table["rows"] if row["images"] == n]) for n in _numbers(table["rows"])]
    return "\n\n".join([BEGIN, *words, render_rows(table["rows"]), origin(table), END])


def _numbers(rows: Sequence[Row]) -> list[int]:
    return list(dict.fromkeys(row["images"] for row in rows))


def _compared(rows: Sequence[Row]) -> str:
    """How far every further candidate is from the first; within the two spreads together it says nothing."""
    first, *others = rows
    words = []
    for row in others:
        if None in (row["accuracy"], first["accuracy"], row["spread"], first["spread"]):
            words.append(f"{row['candidate']} is not finished")
            continue
        difference = row["accuracy"] - first["accuracy"]
        far = abs(difference) > row["spread"] + first["spread"]
        words.append(
            f"{row['candidate']} is {abs(difference):.1f} points {'above' if difference > 0 else 'below'}"
            + ("" if far else ", within the spread over seeds")
        )
    given = "-" if first["accuracy"] is None else f"{first['accuracy']:.1f} %"
    return f"With {first['images']} images {first['candidate']} reaches {given}; {'; '.join(words)}."
