"""``netdeconv list``: the names that other commands take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netdeconv import data, models
from netdeconv.cli.parser import Parser
from netdeconv.lookup import look_up


def _archs() -> list[str]:
    return [f"{name:14} {models.architecture(name).description}" for name in models.list_names()]


def _datasets() -> list[str]:
    return [
        f"{name:14} {'x'.join(map(str, entry.shape)):9} {entry.num_classes:4} classes  {entry.source} ({entry.licence})"
        for name, entry in data.DATASETS.items()
    ]


LISTS: dict[str, Callable[[], list[str]]] = {"archs": _archs, "datasets": _datasets}


def parser() -> Parser:
    """Return the parser of ``netdeconv list``."""
    built = Parser(prog="netdeconv list", description="List the names that other commands take.")
    built.add_argument("what", help="archs or datasets")
    return built


def main(arguments: Sequence[str]) -> int:
    """Print one of the lists."""
    options, _ = parser().parse(arguments)
    print("\n".join(look_up("list", options.what, LISTS)()))
    return 0
