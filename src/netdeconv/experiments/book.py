"""All recipes by name: every file of :mod:`netdeconv.experiments.experiments` is one."""

from __future__ import annotations

import importlib
import pkgutil
import re

from netdeconv.experiments import experiments
from netdeconv.experiments.recipe import Recipe, read_head
from netdeconv.lookup import look_up


def recipe_names() -> list[str]:
    """Return the names of all recipes."""
    return list(_modules())


def recipe(name: str) -> Recipe:
    """Return one recipe.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such recipe.
    """
    module = importlib.import_module(look_up("recipe", name, _modules()))
    title, head = read_head(module.__doc__ or "")
    return Recipe(name=name, title=title, head=head, rows=module.rows())


def _modules() -> dict[str, str]:
    found = [info.name for info in pkgutil.iter_modules(experiments.__path__, experiments.__name__ + ".")]
    return {name.rpartition(".")[2].replace("_", "-"): name for name in sorted(found, key=_by_numbers)}


def _by_numbers(name: str) -> list[str | int]:
    """Numbers count as such: epoch20 comes before epoch100."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
