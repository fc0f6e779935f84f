"""The command that was typed, turned into another one to type."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence


def train_command(arguments: Sequence[str], *, drop: Collection[str], add: Mapping[str, str]) -> str:
    """Return ``netdeconv train`` with the options of another command.

    Args:
        arguments: what was typed after the other command.
        drop: options to leave out, with their values; those of ``add`` are left out too.
        add: options to append.
    """
    kept: list[str] = []
    keeping = True
    for word in arguments:
        if word.startswith("--"):
            flag = word.partition("=")[0]
            keeping = flag not in drop and flag not in add
        if keeping:
            kept.append(word)
    return shlex.join(["netdeconv", "train", *kept, *(word for pair in add.items() for word in pair)])
