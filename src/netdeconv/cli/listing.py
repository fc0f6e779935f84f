"""``netdeconv list``: the names that other commands take."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netdeconv import data, models
from netdeconv.cli.parser import Parser, switch
from netdeconv.lookup import look_up
from netdeconv.recipes import recipe, recipe_names

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


def _recipes() -> list[Row]:
    found: list[Row] = []
    for name in recipe_names():
        own = recipe(name)
        rows = [
            {
                "label": label,
                "arch": row.config.network.arch,
                "dataset": row.config.data.dataset,
                "epochs": row.config.epochs,
                "lr": row.config.optimizer.lr,
                "expected": dict(row.expected),
            }
            for label, row in own.rows.items()
        ]
        found.append(
            {"name": name, "title": own.title, **{key.lower(): text for key, text in own.head.items()}, "rows": rows}
        )
    return found


def _recipe_line(row: Row) -> str:
    return f"{row['name']:26} {len(row['rows']):3} rows  {row['title']} ({row['status'].rstrip('.')})"


@dataclasses.dataclass(frozen=True)
class Listing:
    """One list: its rows, how a row is printed, and what has to be said of all."""

    rows: Callable[[], list[Row]]
    line: Callable[[Row], str]
    remark: str = ""


LISTS: dict[str, Listing] = {
    "archs": Listing(_archs, _arch_line, "with batch norm and 10 classes, for one image of 3x32x32"),
    "datasets": Listing(_datasets, _dataset_line),
    "recipes": Listing(_recipes, _recipe_line, "netdeconv reproduce NAME [ROW ...]; --json has every row"),
}


def parser() -> Parser:
    """Return the parser of ``netdeconv list``."""
    built = Parser(prog="netdeconv list", description="List the names that other commands take.")
    built.add_argument("what", help="archs, datasets or recipes")
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
