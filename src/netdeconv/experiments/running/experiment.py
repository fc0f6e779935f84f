"""What an experiment is: the settings of its runs, what they are expected to give, and what is known of it."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any

from netdeconv import experiments
from netdeconv.lookup import UnknownNameError, look_up, unknown_name
from netdeconv.training.config import TrainingConfig

# What the head of an experiment's file says, in this order.
HEAD = ("Command", "Source", "Hardware", "Minutes", "Expected", "Spread", "Status")
_FIELD = re.compile(rf"^({'|'.join(HEAD)}): +(.*(?:\n +.*)*)", re.MULTILINE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentRow:
    """One run of an experiment.

    Args:
        config: its settings; without a place for data and results.
        expected: score after the last epoch in per cent, by who found it.
        measure: what else is measured in the directory of the finished run, once.
    """

    config: TrainingConfig
    expected: Mapping[str, float] = dataclasses.field(default_factory=dict)
    measure: Callable[[Path, TrainingConfig], dict[str, Any]] | None = None


Rows = Mapping[str, ExperimentRow]


@dataclasses.dataclass(frozen=True)
class Reproduced:
    """What came of one row so far.

    Args:
        label: of the row.
        row: itself.
        history: one record for each epoch that was trained.
        of_epochs: that the run has, where it was begun.
        failure: what ended the run; empty: nothing did.
        measured: what the row measures beside.
    """

    label: str
    row: ExperimentRow
    history: tuple[dict[str, Any], ...] = ()
    of_epochs: int = 0
    failure: str = ""
    measured: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def score(self) -> float | None:
        """After the last epoch that was trained, in per cent; ``None``: there is none."""
        return float(self.history[-1][self.row.config.task.metric]) if self.history else None

    @property
    def is_finished(self) -> bool:
        """Whether all of it was trained without a failure."""
        return bool(self.history) and not self.failure and len(self.history) >= self.of_epochs

    @property
    def seconds(self) -> float:
        """Of training."""
        return float(self.history[-1]["cumulative_seconds"]) if self.history else 0.0

    def searched_line(self) -> dict[str, Any]:
        """As one of the lines of a search's table."""
        optimizer = self.row.config.optimizer
        return {
            "run": self.label.partition(" lr ")[0],
            "lr": optimizer.lr,
            "weight decay": optimizer.weight_decay,
            "score": None if self.score is None else round(self.score, 2),
            "state": "diverged" if self.failure else "finished" if self.is_finished else "unfinished",
        }


def one_a_run(runs: Sequence[Reproduced]) -> list[dict[str, Any]]:
    """Return the lines of a table that has no other: expected numbers by who found them, and what came of each run."""
    sources = list(dict.fromkeys(source for run in runs for source in run.row.expected))
    return [
        {
            "run": run.label,
            **{source: run.row.expected.get(source) for source in sources},
            "here": "diverged" if run.failure else None if run.score is None else round(run.score, 2),
            "epochs": len(run.history) if run.is_finished else f"{len(run.history)} of {run.of_epochs}",
            "minutes": round(run.seconds / 60, 1),
        }
        for run in runs
    ]


def best_of(found: Mapping[str, Reproduced], labels: str) -> TrainingConfig | None:
    """Return the settings of the best of the rows whose labels begin so; ``None``: one is missing, or all failed."""
    own = [run for label, run in found.items() if label.startswith(labels)]
    finished = [run for run in own if run.is_finished]
    if not finished or not all(run.is_finished or run.failure for run in own):
        return None
    return max(finished, key=lambda run: run.score or 0.0).row.config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """One experiment.

    Args:
        name: for the command line.
        title: what it is, one line.
        rows: its first runs by label.
        head: command, source, hardware, minutes, expected number, spread and status, in words.
        then: further rows, which follow from what was found so far; ``None``: there are none.
        summarise: from runs to the lines of its table; ``None``: one line a run.
        parts: further tables by title, from runs to lines.
        changes: settings that are not the experiment's own and change its numbers, in words.
    """

    name: str
    title: str
    rows: Rows
    head: Mapping[str, str] = dataclasses.field(default_factory=dict)
    then: Callable[[Mapping[str, Reproduced]], Rows] | None = None
    summarise: Callable[[Sequence[Reproduced]], list[dict[str, Any]]] | None = None
    parts: Mapping[str, Callable[[Sequence[Reproduced]], list[dict[str, Any]]]] = dataclasses.field(
        default_factory=dict
    )
    changes: tuple[str, ...] = ()

    def changed(self, change: Callable[[TrainingConfig], TrainingConfig], in_words: Iterable[str]) -> Experiment:
        """Return the experiment with other settings in all its rows, and in those that follow from them.

        Args:
            change: returns a row's settings with what a person wants otherwise: where data are, fewer epochs.
            in_words: what that changes of the numbers.
        """
        then = self.then

        def rows(own: Rows) -> Rows:
            return {label: dataclasses.replace(row, config=change(row.config)) for label, row in own.items()}

        return dataclasses.replace(
            self,
            rows=rows(self.rows),
            then=then and (lambda found: rows(then(found))),
            changes=tuple(in_words),
        )

    def known(self, found: Mapping[str, Reproduced]) -> Rows:
        """All rows that can be named so far."""
        return {**self.rows, **self.then(found)} if self.then else self.rows

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
                error = unknown_name(f"row of {self.name}", pattern, rows)
                raise (
                    UnknownNameError(f"{error}; further rows follow from the results of these") if self.then else error
                )
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


def names() -> list[str]:
    """Return the names of all experiments: every file of :mod:`netdeconv.experiments` is one, or several."""
    return list(_modules())


def experiment(name: str) -> Experiment:
    """Return one experiment.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such experiment.
    """
    module = look_up("experiment", name, _modules())
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


def _modules() -> dict[str, ModuleType]:
    found: dict[str, ModuleType] = {}
    for info in pkgutil.iter_modules(experiments.__path__):
        if not info.ispkg:
            module = importlib.import_module(f"{experiments.__name__}.{info.name}")
            found |= dict.fromkeys(getattr(module, "ROWS", [info.name.replace("_", "-")]), module)
    return found
