"""Names to things: one lookup whose error says which name was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")
# A message names all that exist, or where there are more than these, the nearest.
_MOST_NAMED, _NEAREST = 150, 5


class UnknownNameError(ValueError):
    """A name that is in no table; the message holds the nearest one, and all that exist or of very many the nearest."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Return the error for ``name``, which is no ``kind`` of the ``known`` ones."""
    names = list(known)
    by_lower = {known_name.lower(): known_name for known_name in names}
    nearest = [by_lower[each] for each in difflib.get_close_matches(name.lower(), by_lower, n=_NEAREST, cutoff=0.4)]
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    listed = f"known: {', '.join(names)}"
    if len(names) > _MOST_NAMED:
        listed = f"{len(names)} are known, such as {', '.join(map(repr, nearest or names[:_NEAREST]))}"
    return UnknownNameError(f"unknown {kind} {name!r}{hint} ({listed})")


def look_up(kind: str, name: str, table: Mapping[str, T]) -> T:
    """Return ``table[name]``.

    Raises:
        UnknownNameError: when the table has no such name, with the nearest one.
    """
    if name not in table:
        raise unknown_name(kind, name, table)
    return table[name]
