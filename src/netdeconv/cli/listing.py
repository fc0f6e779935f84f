"""``netdeconv list``: the names that other commands take."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from tyro.conf import Positional, arg

from netdeconv import data, models
from netdeconv.cli.parser import parse
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
    """Sets of labelled images; then those with a class for every pixel, with names and colours of the classes."""
    from netdeconv.data.segmentation import SEGMENTATION_DATASETS

    of_images = [_described(name, entry) for name, entry in data.DATASETS.items()]
    of_pixels = [
        {
            **_described(name, entry),
            "classes": [dataclasses.asdict(each) for each in entry.classes],
            "evaluated_on": list(entry.splits),
            "mean": list(entry.mean),
            "std": list(entry.std),
        }
        for name, entry in SEGMENTATION_DATASETS.items()
    ]
    return [*of_images, *of_pixels]


def _described(name: str, entry: data.DatasetInfo) -> dict[str, Any]:
    return {
        "name": name,
        "shape": list(entry.shape),
        "num_classes": entry.num_classes,
        "source": entry.source,
        "licence": entry.licence,
    }


def _dataset_line(row: Row) -> str:
    shape = "x".join(map(str, row["shape"]))
    kind = "classes of pixels" if "classes" in row else "classes"
    return f"{row['name']:17} {shape:11} {row['num_classes']:4} {kind}  {row['source']} ({row['licence']})"


def _experiments() -> list[Row]:
    from netdeconv.experiments import experiment, names

    found: list[Row] = []
    for name in names():
        own = experiment(name)
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


def _experiment_line(row: Row) -> str:
    return f"{row['name']:26} {len(row['rows']):3} rows  {row['title']} ({row['status'].rstrip('.')})"


def _models() -> list[Row]:
    import torch

    from netdeconv.models.segmentation import SEGMENTATION_NETWORKS, build_segmentation

    rows: list[Row] = []
    for name, entry in SEGMENTATION_NETWORKS.items():
        with torch.device("meta"):  # counted without memory
            parameters = sum(each.numel() for each in build_segmentation(name, num_classes=21).parameters())
        rows.append(
            {
                "name": name,
                "parameters": parameters,
                "output_strides": list(entry.output_strides),
                "auxiliary": entry.auxiliary,
                "source": entry.source,
                "description": entry.description,
            }
        )
    return rows


def _model_line(row: Row) -> str:
    strides = " ".join(map(str, row["output_strides"]))
    return (
        f"{row['name']:26} {row['parameters'] / 1e6:6.2f} M parameters  output stride {strides:8}  {row['description']}"
    )


@dataclasses.dataclass(frozen=True)
class Listing:
    """One list: its rows, how a row is printed, and what has to be said of all."""

    rows: Callable[[], list[Row]]
    line: Callable[[Row], str]
    remark: str = ""


LISTS: dict[str, Listing] = {
    "archs": Listing(_archs, _arch_line, "with batch norm and 10 classes, for one image of 3x32x32"),
    "datasets": Listing(_datasets, _dataset_line),
    "models": Listing(
        _models,
        _model_line,
        "of `netdeconv segment`, with batch norm, auxiliary head and 21 classes; d appended: converted",
    ),
    "experiments": Listing(_experiments, _experiment_line, "netdeconv reproduce NAME [ROW ...]; --json has every row"),
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
    listing = look_up("list", options.what, LISTS)
    rows = listing.rows()
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    print("\n".join(map(listing.line, rows)))
    if listing.remark:
        print(f"({listing.remark})")
    return 0
