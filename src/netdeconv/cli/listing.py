"""``netdeconv list``: the names that other commands take."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from tyro.conf import Positional, arg

from netdeconv.cli.parser import parse
from netdeconv.lookup import look_up

Row = dict[str, Any]


def _archs() -> list[Row]:
    from netdeconv.models import ARCHITECTURES

    return _networks(ARCHITECTURES, "source", "description")


def _models() -> list[Row]:
    from netdeconv.models.segmentation import SEGMENTATION_NETWORKS

    return _networks(SEGMENTATION_NETWORKS, "output_strides", "auxiliary", "source", "description")


def _networks(entries: Mapping[str, Any], *keys: str) -> list[Row]:
    return [{"name": name, **{key: getattr(entry, key) for key in keys}} for name, entry in entries.items()]


def _datasets() -> list[Row]:
    """Sets of labelled images; then those with a class for every pixel, with names and colours of the classes."""
    from netdeconv.data.registry import DATASETS, SEGMENTATION_DATASETS

    entries = {**DATASETS, **SEGMENTATION_DATASETS}
    return [{"name": name, **dataclasses.asdict(entry)} for name, entry in entries.items()]


def _experiments() -> list[Row]:
    from netdeconv.experiments.running.experiment import experiment, names

    return [
        {"name": own.name, "title": own.title, **{key.lower(): text for key, text in own.head.items()}}
        | {"rows": [{"label": label, "expected": dict(row.expected)} for label, row in own.rows.items()]}
        for own in map(experiment, names())
    ]


# A list's rows, which of their columns are printed, and what has to be said of all.
LISTS: dict[str, tuple[Callable[[], list[Row]], tuple[str, ...], str]] = {
    "archs": (_archs, ("description", "source"), "netdeconv.models.build(NAME) builds one"),
    "datasets": (
        _datasets,
        ("shape", "num_classes", "source", "licence"),
        "those with a class for every pixel are of `netdeconv segment`",
    ),
    "models": (_models, ("output_strides", "description"), "of `netdeconv segment`; d appended: converted"),
    "experiments": (_experiments, ("rows", "title"), "netdeconv reproduce NAME [ROW ...]; --json has every row"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """List the names that other commands take.

    Args:
        what: archs, datasets, models or experiments.
        json: print the list as JSON, with exact numbers.
    """

    what: Annotated[str, Positional, arg(metavar="{archs,datasets,models,experiments}")]
    json: bool = False


def main(arguments: Sequence[str]) -> int:
    """Print one of the lists."""
    options = parse(Options, arguments, prog="netdeconv list")
    listed, columns, remark = look_up("list", options.what, LISTS)
    rows = listed()
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    cells = [[row["name"], *(_cell(row[column]) for column in columns)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"({', '.join(('name', *columns)).replace('_', ' ')}; {remark})")
    return 0


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} rows"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
