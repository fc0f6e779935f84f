"""What an experiment is: the settings of its runs, what they are expected to give, and what is known of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from netdeconv.experiments.running.search_space import Space, Trial
from netdeconv.lookup import unknown_name
from netdeconv.training import TrainingConfig

# What the head of an experiment's file says, in this order.
HEAD = ("Command", "Source", "Hardware", "Minutes", "Expected", "Spread", "Status")
_FIELD = re.compile(rf"^({'|'.join(HEAD)}): +(.*(?:\n +.*)*)", re.MULTILINE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentRow:
    """One run of an experiment, or one search.

    Args:
        config: its settings; without a place for data and results.
        expected: score after the last epoch in per cent, by who found it.
        space: learning rates and weight decays to search, each pair a run; ``None``: one run.
        measure: what else is measured in the directory of the finished run, once.
    """

    config: TrainingConfig
    expected: Mapping[str, float] = dataclasses.field(default_factory=dict)
    space: Space | None = None
    measure: Callable[[Path, TrainingConfig], dict[str, Any]] | None = None


Rows = Mapping[str, ExperimentRow]


@dataclasses.dataclass(frozen=True)
class Reproduced:
    """What came of one row.

    Args:
        label: of the experiment's row.
        expected: score in per cent, by who found it.
        score: after the last epoch that was trained, of a search the best run's, in per cent; ``None``: there is none.
        epochs: that were trained; of a search the runs.
        of_epochs: that the row has.
        minutes: of training.
        failure: what ended the run; empty: nothing did.
        history: one record for each epoch.
        trials: of a search.
        measured: what the row measures beside.
    """

    label: str
    expected: Mapping[str, float]
    score: float | None
    epochs: int
    of_epochs: int
    minutes: float
    failure: str = ""
    history: tuple[dict[str, Any], ...] = ()
    trials: tuple[Trial, ...] = ()
    measured: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether all of it was trained without a failure."""
        return not self.failure and self.epochs >= self.of_epochs

    @property
    def best(self) -> Trial | None:
        """Of a search that is finished."""
        done = [trial for trial in self.trials if trial.state == "finished"] if self.is_finished else []
        return max(done, key=lambda trial: trial.score or 0.0, default=None)

    @property
    def seconds(self) -> float:
        """Of training."""
        return float(self.history[-1]["cumulative_seconds"]) if self.history else 60 * self.minutes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """One experiment.

    Args:
        name: for the command line.
        title: what it is, one line.
        head: command, source, hardware, minutes, expected number, spread and status, in words.
        rows: its first runs by label.
        then: further rows, which follow from what was found so far; ``None``: there are none.
        summarise: from runs to the lines of its table; ``None``: one line a run.
        parts: further tables by title, from runs to lines.
    """

    name: str
    title: str
    head: Mapping[str, str]
    rows: Rows
    then: Callable[[Mapping[str, Reproduced]], Rows] | None = None
    summarise: Callable[[Sequence[Reproduced]], list[dict[str, Any]]] | None = None
    parts: Mapping[str, Callable[[Sequence[Reproduced]], list[dict[str, Any]]]] = dataclasses.field(
        default_factory=dict
    )

    def known(self, found: Mapping[str, Reproduced]) -> dict[str, ExperimentRow]:
        """All rows that can be named so far."""
        return {**self.rows, **(self.then(found) if self.then else {})}

    def select(self, patterns: Iterable[str], rows: Iterable[str] | None = None) -> list[str]:
        """Return the labels that patterns of them select, in the experiment's order; without patterns all.

        Args:
            patterns: labels, or patterns of them.
            rows: labels that can be named so far; ``None``: those of the first rows.

        Raises:
            UnknownNameError: a ValueError with the nearest label, when a pattern selects none.
        """
        rows = list(self.rows if rows is None else rows)
        chosen: set[str] = set()
        for pattern in patterns:
            matching = {label for label in rows if fnmatchcase(label, pattern)}
            if not matching:
                raise unknown_name(f"row of {self.name}", pattern, rows)
            chosen |= matching
        return [label for label in rows if label in chosen or not chosen]


def read_head(docstring: str) -> tuple[str, dict[str, str]]:
    """Return the title and the fields of an experiment's docstring.

    Raises:
        ValueError: when a field is missing, or they stand in another order.
    """
    fields = {name: " ".join(text.split()) for name, text in _FIELD.findall(docstring)}
    if tuple(fields) != HEAD:
        raise ValueError(f"an experiment's head has the fields {', '.join(HEAD)}, not {', '.join(fields) or 'none'}")
    return docstring.partition("\n")[0].removesuffix("."), fields
