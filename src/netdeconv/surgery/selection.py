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
    """The modules that ``select`` selects; a shared module by any of its names, and "stem" is the first convolution."""
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
    """The modules that a pattern names, and all that lie in them; where it names none, ``argument`` is in the error."""
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
