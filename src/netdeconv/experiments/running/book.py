"""All experiments by name: every file of :mod:`netdeconv.experiments` is one, or several."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable
from types import ModuleType

from netdeconv import experiments
from netdeconv.experiments.running.experiment import Experiment, ExperimentRow, read_head
from netdeconv.lookup import look_up

_Rows = Callable[[], dict[str, ExperimentRow]]


def names() -> list[str]:
    """Return the names of all experiments."""
    return list(_all())


def experiment(name: str) -> Experiment:
    """Return one experiment.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such experiment.
    """
    module, rows = look_up("experiment", name, _all())
    title, head = read_head(module.__doc__ or "")
    summarise = getattr(module, "summary", None)
    return Experiment(name=name, title=title, head=head, rows=rows(), summarise=summarise)


def _all() -> dict[str, tuple[ModuleType, _Rows]]:
    found: dict[str, tuple[ModuleType, _Rows]] = {}
    for info in pkgutil.iter_modules(experiments.__path__):
        if info.ispkg:
            continue
        module = importlib.import_module(f"{experiments.__name__}.{info.name}")
        several = getattr(module, "ROWS", None) or {info.name.replace("_", "-"): module.rows}
        found |= {name: (module, rows) for name, rows in several.items()}
    return dict(sorted(found.items(), key=lambda item: _by_numbers(item[0])))


def _by_numbers(name: str) -> list[str | int]:
    """Numbers count as such: epoch20 comes before epoch100."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
