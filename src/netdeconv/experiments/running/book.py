"""All experiments by name: every file of :mod:`netdeconv.experiments` is one, or several."""

from __future__ import annotations

import importlib
import pkgutil
import re
from types import ModuleType

from netdeconv import experiments
from netdeconv.experiments.running.experiment import Experiment, read_head
from netdeconv.lookup import look_up


def names() -> list[str]:
    """Return the names of all experiments."""
    return list(_all())


def experiment(name: str) -> Experiment:
    """Return one experiment.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such experiment.
    """
    module = look_up("experiment", name, _all())
    title, head = read_head(module.__doc__ or "")
    several = getattr(module, "ROWS", None)
    return Experiment(
        name=name,
        title=title if several is None else f"{name}: {title}",
        head=head,
        rows=several[name]() if several else module.rows(),
        then=getattr(module, "THEN", {}).get(name) or getattr(module, "then", None),
        summarise=getattr(module, "summary", None),
        parts=getattr(module, "PARTS", {}),
    )


def _all() -> dict[str, ModuleType]:
    found: dict[str, ModuleType] = {}
    for info in pkgutil.iter_modules(experiments.__path__):
        if not info.ispkg:
            module = importlib.import_module(f"{experiments.__name__}.{info.name}")
            found |= dict.fromkeys(getattr(module, "ROWS", [info.name.replace("_", "-")]), module)
    return dict(sorted(found.items(), key=lambda item: _by_numbers(item[0])))


def _by_numbers(name: str) -> list[str | int]:
    """Numbers count as such: epoch20 comes before epoch100."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
