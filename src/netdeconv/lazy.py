"""Packages that import a name's home when the name is first asked for: ``--help`` need not wait for torch."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any


def lazy_names(package: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package whose own imports stand under ``if TYPE_CHECKING``.

    A name must not be that of one of the package's modules.

    Args:
        package: its ``__name__``.
    """
    module = sys.modules[package]
    homes = {
        alias.name: node.module
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("netdeconv.")
        for alias in node.names
    }

    def get(name: str) -> Any:
        if name not in homes:
            if any(f"{home}.".startswith(f"{package}.{name}.") for home in homes.values()):
                return importlib.import_module(f"{package}.{name}")
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(module, name, value)
        return value

    return get
