"""What an experiment is: the settings of its runs, what they are expected to give, and what is known of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from netdeconv.lookup import unknown_name
from netdeconv.training import TrainingConfig

# What the head of an experiment's file says, in this order.
HEAD = ("Command", "Source", "Hardware", "Minutes", "Expected", "Spread", "Status")
_FIELD = re.compile(rf"^({'|'.join(HEAD)}): +(.*(?:\n +.*)*)", re.MULTILINE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentRow:
    """One run of an experiment.

    Args:
        config: its settings; without a place for data and results.
        expected: score after the last epoch in per cent, by who found it.
    """

    config: TrainingConfig
    expected: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """One experiment.

    Args:
        name: for the command line.
        title: what it is, one line.
        head: command, source, hardware, minutes, expected number, spread and status, in words.
        rows: its runs by label.
        summarise: from runs to the lines of its table; ``None``: one line a run.
    """

    name: str
    title: str
    head: Mapping[str, str]
    rows: Mapping[str, ExperimentRow]
    summarise: Callable[[Sequence[Any]], list[dict[str, Any]]] | None = None

    def select(self, patterns: Iterable[str]) -> list[str]:
        """Return the labels that patterns of them select, in the experiment's order; without patterns all.

        Raises:
            UnknownNameError: a ValueError with the nearest label, when a pattern selects none.
        """
        chosen: set[str] = set()
        for pattern in patterns:
            matching = {label for label in self.rows if fnmatchcase(label, pattern)}
            if not matching:
                raise unknown_name(f"row of {self.name}", pattern, self.rows)
            chosen |= matching
        return [label for label in self.rows if label in chosen or not chosen]


def read_head(docstring: str) -> tuple[str, dict[str, str]]:
    """Return the title and the fields of an experiment's docstring.

    Raises:
        ValueError: when a field is missing, or they stand in another order.
    """
    fields = {name: " ".join(text.split()) for name, text in _FIELD.findall(docstring)}
    if tuple(fields) != HEAD:
        raise ValueError(f"an experiment's head has the fields {', '.join(HEAD)}, not {', '.join(fields) or 'none'}")
    return docstring.partition("\n")[0].removesuffix("."), fields
