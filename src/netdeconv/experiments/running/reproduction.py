"""Running an experiment's rows in one directory, in as many sittings as it takes, and what came of them."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from netdeconv.experiments.running.experiment import Experiment, ExperimentRow, Reproduced
from netdeconv.experiments.running.rows import FAILURE, folder_of, read_history, require_one_process, train_rows
from netdeconv.experiments.running.search import read_trials, search
from netdeconv.training import (
    Reporter,
    RunDirectory,
    RunDirectoryError,
    TrainingConfig,
    differing_settings,
    read_config,
)
from netdeconv.training.checkpoint import write_atomically
from netdeconv.training.run_directory import CONFIG

MEASURED = "measured.json"
# Tables of thousands of rows take seconds to write: they are not written after every row.
_SECONDS_BETWEEN_TABLES = 20
Override = Callable[[TrainingConfig], TrainingConfig]


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """What became of an experiment so far.

    Args:
        experiment: its name.
        path: its directory.
        rows: those that were chosen or begun.
        changes: settings that are not the experiment's, in words.
        evaluated_on: which part of the data set the scores are of; empty before the first.
    """

    experiment: str
    path: Path
    rows: tuple[Reproduced, ...]
    changes: tuple[str, ...]
    evaluated_on: str


def reproduce(
    experiment: Experiment,
    patterns: Iterable[str],
    path: str | Path,
    *,
    override: Override = lambda config: config,
    changes: Iterable[str] = (),
    reporter: Callable[[str], Reporter],
    noted: Callable[[Reproduction], None] = lambda reproduction: None,
) -> Reproduction:
    """Train rows of an experiment, or what is left of them; then the rows that follow from these.

    Args:
        experiment: the experiment.
        patterns: labels of the rows to train, or patterns of them; none: all.
        path: the directory; every row gets a folder in it, and what is there already is continued.
        override: returns a row's settings with what a person wants otherwise: where data are, fewer epochs.
        changes: what ``override`` changes of the numbers, in words.
        reporter: who is told of a row's progress, by its label.
        noted: is called after rows, not more often than every 20 seconds.

    Returns:
        The rows that were chosen, and those that were begun before.

    Raises:
        RunDirectoryError: when the directory is in use, belongs to another experiment, or a row was begun with other
            settings.
        ValueError: when a pattern selects no row, or a run is to be trained in several processes.
    """
    sitting = _Sitting(experiment, Path(path).expanduser(), tuple(patterns), override, tuple(changes))
    found = sitting.collect({})
    require_one_process(sitting.row(sitting.chosen(found)[0], found).config)
    folder = sitting.path
    is_begun = (folder / CONFIG).exists()
    if is_begun and read_config(folder).get("experiment") != experiment.name:
        raise RunDirectoryError(f"{folder} holds no rows of {experiment.name}: choose another --result-path")
    with RunDirectory(folder, name=experiment.name, resume=is_begun, option="--result-path") as directory:
        if not is_begun:
            directory.write_json(CONFIG, {"experiment": experiment.name})
        tried: set[str] = set()
        written = time.monotonic()
        while left := [label for label in sitting.chosen(found) if label not in tried]:
            label = left[0]
            tried.add(label)
            row = sitting.row(label, found)
            if not _is_done(folder_of(folder, label), row):
                _train(label, row, folder, reporter)
                found = sitting.collect({other: own for other, own in found.items() if other != label})
                if time.monotonic() - written > _SECONDS_BETWEEN_TABLES:
                    noted(sitting.told(found))
                    written = time.monotonic()
        told = sitting.told(found)
        directory.write_json("summary.json", _plain(told))
        return told


@dataclasses.dataclass(frozen=True)
class _Sitting:
    """One call of :func:`reproduce`. What was found is by label, of all rows that can be named."""

    experiment: Experiment
    path: Path
    patterns: tuple[str, ...]
    override: Override
    changes: tuple[str, ...]
    rows: dict[str, ExperimentRow] = dataclasses.field(default_factory=dict)  # overridden; each once, as it takes time

    def row(self, label: str, found: Mapping[str, Reproduced]) -> ExperimentRow:
        """A row with its override; rows that follow from others may change with what was found."""
        own = self.experiment.rows.get(label) or self.experiment.known(found)[label]
        if label not in self.rows or label not in self.experiment.rows:
            self.rows[label] = dataclasses.replace(own, config=self.override(own.config))
        return self.rows[label]

    def chosen(self, found: Mapping[str, Reproduced]) -> list[str]:
        """The labels that the patterns select among them."""
        return self.experiment.select(self.patterns, found)

    def collect(self, kept: Mapping[str, Reproduced]) -> dict[str, Reproduced]:
        """What the directory holds of the first rows, and of what follows from those; kept ones are not read again."""
        found: dict[str, Reproduced] = {}
        new: Mapping[str, ExperimentRow] = self.experiment.rows
        while new:
            found |= {label: kept.get(label) or _read(label, row, self.path) for label, row in new.items()}
            new = {label: row for label, row in self.experiment.known(found).items() if label not in found}
        return found

    def told(self, found: Mapping[str, Reproduced]) -> Reproduction:
        """The rows that were chosen or begun."""
        chosen = set(self.chosen(found))
        rows = []
        for label, row in found.items():
            if row.epochs or row.failure:
                rows.append(row)
            elif label in chosen:
                own = self.row(label, found)
                rows.append(row if own.space else dataclasses.replace(row, of_epochs=own.config.epochs))
        records = [row.history[-1] for row in rows if row.history]
        evaluated_on = records[-1]["evaluated_on"] if records else ""
        return Reproduction(self.experiment.name, self.path, tuple(rows), self.changes, evaluated_on)


def _read(label: str, row: ExperimentRow, path: Path) -> Reproduced:
    """What the directory holds of a row."""
    folder = folder_of(path, label)
    size = row.config.epochs if row.space is None else len(row.space.pairs())
    if not (folder / CONFIG).exists():
        return Reproduced(label, row.expected, None, 0, size, 0.0)
    if row.space is not None:
        trials = read_trials(folder)
        scores = [trial.score for trial in trials if trial.state == "finished" and trial.score is not None]
        last = [record for trial in trials for record in read_history(folder / trial.folder)[-1:]]
        minutes = sum(record["cumulative_seconds"] for record in last) / 60
        return Reproduced(label, row.expected, max(scores, default=None), len(trials), size, minutes, trials=trials)
    history = read_history(folder)
    return Reproduced(
        label=label,
        expected=row.expected,
        score=history[-1][row.config.task.metric] if history else None,
        epochs=len(history),
        of_epochs=read_config(folder)["epochs"],
        minutes=history[-1]["cumulative_seconds"] / 60 if history else 0.0,
        failure=_json(folder / FAILURE).get("message", ""),
        history=tuple(history),
        measured=_json(folder / MEASURED),
    )


def _is_done(folder: Path, row: ExperimentRow) -> bool:
    """Whether a row needs not even be opened: all of it is trained, with these settings, or it has failed."""
    if row.space is not None:
        return False  # a search says itself what is left
    if (folder / FAILURE).exists():
        return True
    if not (folder / "summary.json").exists() or len(read_history(folder)) < row.config.epochs:
        return False
    measured = row.measure is None or (folder / MEASURED).exists()
    return measured and not differing_settings(row.config, read_config(folder))


def _train(label: str, row: ExperimentRow, directory: Path, reporter: Callable[[str], Reporter]) -> None:
    folder = folder_of(directory, label)
    if row.space is not None:
        search(
            row.config,
            row.space,
            folder,
            trials=len(row.space.pairs()),
            resume=(folder / CONFIG).exists(),
            reporter=lambda trial: reporter(f"{label}: {trial}"),
        )
        return
    for _ in train_rows({label: row.config}, directory, reporter=reporter):
        if row.measure is not None and not (folder / FAILURE).exists():
            measured = row.measure(folder, row.config)
            write_atomically(folder / MEASURED, (json.dumps(measured, indent=2) + "\n").encode())


def _json(file: Path) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return plain


def _plain(told: Reproduction) -> dict[str, Any]:
    shown = [field.name for field in dataclasses.fields(Reproduced) if field.name not in ("history", "trials")]
    rows = [{name: getattr(row, name) for name in shown} for row in told.rows]
    return {"experiment": told.experiment, "rows": rows, "changes": told.changes, "evaluated_on": told.evaluated_on}
