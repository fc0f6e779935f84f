"""``netdeconv list``: the names that other commands take."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netdeconv import data, models
from netdeconv.cli.parser import Parser, switch
from netdeconv.lookup import look_up

Row = Mapping[str, Any]


def _archs() -> list[Row]:
    return [
        {
            "name": name,
            **dataclasses.asdict(models.cost(name)),
            "source": entry.source,
            "description": entry.description,
        }
        for name, entry in models.ARCHITECTURES.items()
    ]


def _arch_line(row: Row) -> str:
    parameters, multiply_adds = row["parameters"] / 1e6, row["multiply_adds"] / 1e6
    numbers = f"{parameters:6.2f} M parameters {multiply_adds:8.2f} M multiply-adds"
    return f"{row['name']:16} {numbers}  {row['description']} ({row['source']})"


def _datasets() -> list[Row]:
    return [
        {
            "name": name,
            "shape": list(entry.shape),
            "num_classes": entry.num_classes,
            "source": entry.source,
            "licence": entry.licence,
        }
        for name, entry in data.DATASETS.items()
    ]


def _dataset_line(row: Row) -> str:
    shape = "x".join(map(str, row["shape"]))
    return f"{row['name']:14} {shape:9} {row['num_classes']:4} classes  {row['source']} ({row['licence']})"


@dataclasses.dataclass(frozen=True)
class Listing:
    """One list: its rows, how a row is printed, and what has to be said of all."""

    rows: Callable[[], list[Row]]
    line: Callable[[Row], str]
    remark: str = ""


LISTS: dict[str, Listing] = {
    "archs": Listing(_archs, _arch_line, "with batch norm and 10 classes, for one image of 3x32x32"),
    "datasets": Listing(_datasets, _dataset_line),
}


def parser() -> Parser:
    """Return the parser of ``netdeconv list``."""
    built = Parser(prog="netdeconv list", description="List the names that other commands take.")
    built.add_argument("what", help="archs or datasets")
    built.add_options({"--json": switch("print the list as JSON, with exact numbers")})
    return built


def main(arguments: Sequence[str]) -> int:
    """Print one of the lists."""
    options, _ = parser().parse(arguments)
    listing = look_up("list", options.what, LISTS)
    rows = listing.rows()
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    print("\n".join(map(listing.line, rows)))
    if listing.remark:
        print(f"({listing.remark})")
    return 0
