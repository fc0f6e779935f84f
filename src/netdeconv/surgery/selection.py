"""Which modules a conversion may touch: names, patterns, or a predicate."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeAlias

from torch import nn

Selection: TypeAlias = str | Iterable[str] | Callable[[str, nn.Module], bool] | None

STEM = "stem"


def selected(names: Mapping[nn.Module, Sequence[str]], select: Selection, stem: nn.Module | None) -> set[nn.Module]:
    """The modules that ``select`` selects.

    Args:
        names: every module with all its names; a shared module is selected or excluded by any of them.
        select: as :func:`netdeconv.convert` takes it.
        stem: the first convolution, which the word "stem" means.

    Raises:
        ValueError: when a pattern matches no name.
        TypeError: when ``select`` is none of the accepted things.
    """
    if select is None:
        return set(names)
    if isinstance(select, str) and select == STEM:
        return set() if stem is None else {stem}
    if isinstance(select, str):
        select = [select]
    if isinstance(select, Iterable):
        patterns = list(select)
        if not all(isinstance(pattern, str) for pattern in patterns):
            raise TypeError(f"select must hold name patterns (strings), got {patterns!r}")
        return _by_pattern(names, patterns)
    if callable(select):
        return {module for module, own in names.items() if select(own[0], module)}
    raise TypeError(f"select must be None, names, or a function of name and module, got {select!r}")


def _by_pattern(names: Mapping[nn.Module, Sequence[str]], patterns: Sequence[str]) -> set[nn.Module]:
    excluding = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    including = [pattern for pattern in patterns if not pattern.startswith("!")]
    matches = {pattern: covered(names, pattern, argument="select") for pattern in (*including, *excluding)}
    chosen = set(names) if not including else {module for pattern in including for module in matches[pattern]}
    return chosen - {module for pattern in excluding for module in matches[pattern]}


def covered(names: Mapping[nn.Module, Sequence[str]], pattern: str, *, argument: str) -> set[nn.Module]:
    """The modules that a pattern names, and all that lie in them.

    Args:
        names: every module with all its names.
        pattern: of names.
        argument: of the conversion, for the error.

    Raises:
        ValueError: when the pattern matches no name, with the nearest one.
    """
    modules = {module for module, own in names.items() if any(_covers(pattern, name) for name in own)}
    if not modules:
        everything = [name for own in names.values() for name in own if name]
        nearest = difflib.get_close_matches(pattern, everything, n=1, cutoff=0.0)
        hint = f"; the nearest name is {nearest[0]!r}" if nearest else ""
        raise ValueError(f"{argument}: no module's name matches {pattern!r}{hint}")
    return modules


def _covers(pattern: str, name: str) -> bool:
    """Whether the pattern matches the name, or that of a module which it lies in."""
    parts = name.split(".") if name else []
    return any(fnmatchcase(".".join(parts[:end]), pattern) for end in range(1, len(parts) + 1))
