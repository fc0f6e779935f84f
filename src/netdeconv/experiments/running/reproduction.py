"""Running an experiment's rows in one directory, in as many sittings as it takes, and what came of them."""

from __future__ import annotations

import dataclasses
import json
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
Override = Callable[[TrainingConfig], TrainingConfig]


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """What became of an experiment so far.

    Args:
        experiment: its name.
        path: its directory.
        rows: one for each row of the experiment, also of those that were not run.
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
        noted: is called after every row.

    Returns:
        All rows that could be named, trained ones with their score.

    Raises:
        RunDirectoryError: when the directory is in use, belongs to another experiment, or a row was begun with other
            settings.
        ValueError: when a pattern selects no row, or a run is to be trained in several processes.
    """
    folder, patterns, told = Path(path).expanduser(), list(patterns), tuple(changes)
    for row in experiment.rows.values():
        require_one_process(override(row.config))
    is_begun = (folder / CONFIG).exists()
    if is_begun and read_config(folder).get("experiment") != experiment.name:
        raise RunDirectoryError(f"{folder} holds no rows of {experiment.name}: choose another --result-path")
    found = _collect(experiment, folder, override, told)
    experiment.select(patterns, _known(experiment, found))
    with RunDirectory(folder, name=experiment.name, resume=is_begun) as directory:
        if not is_begun:
            directory.write_json(CONFIG, {"experiment": experiment.name})
        tried: set[str] = set()
        while True:
            rows = _known(experiment, found)
            left = [label for label in experiment.select(patterns, rows) if label not in tried]
            if not left:
                return found
            tried.add(left[0])
            row = dataclasses.replace(rows[left[0]], config=override(rows[left[0]].config))
            if not _is_done(folder_of(folder, left[0]), row):
                _train(left[0], row, folder, reporter)
                kept = [other for other in found.rows if other.label != left[0]]
                found = _collect(experiment, folder, override, told, kept)
                directory.write_json("summary.json", _plain(found))
                noted(found)


def _known(experiment: Experiment, found: Reproduction) -> dict[str, ExperimentRow]:
    return experiment.known({row.label: row for row in found.rows})


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


def _collect(
    experiment: Experiment,
    path: Path,
    override: Override,
    changes: tuple[str, ...],
    kept: Iterable[Reproduced] = (),
) -> Reproduction:
    """All rows that can be named: the first ones, and what follows from those; kept ones are not read again."""
    known = {row.label: row for row in kept}
    found: dict[str, Reproduced] = {}
    new: Mapping[str, ExperimentRow] = experiment.rows
    while new:
        found |= {
            label: known.get(label) or _reproduced(label, row, override(row.config), folder_of(path, label))
            for label, row in new.items()
        }
        new = {label: row for label, row in experiment.known(found).items() if label not in found}
    records = [row.history[-1] for row in found.values() if row.history]
    evaluated_on = records[-1]["evaluated_on"] if records else ""
    return Reproduction(experiment.name, path, tuple(found.values()), changes, evaluated_on)


def _reproduced(label: str, row: ExperimentRow, config: TrainingConfig, folder: Path) -> Reproduced:
    if row.space is not None:
        trials = read_trials(folder)
        scores = [trial.score for trial in trials if trial.state == "finished" and trial.score is not None]
        history = [record for trial in trials for record in read_history(folder / trial.folder)[-1:]]
        minutes = sum(record["cumulative_seconds"] for record in history) / 60
        best, size = max(scores, default=None), len(row.space.pairs())
        return Reproduced(label, row.expected, best, len(trials), size, minutes, trials=trials)
    history = read_history(folder)
    return Reproduced(
        label=label,
        expected=row.expected,
        score=history[-1][config.task.metric] if history else None,
        epochs=len(history),
        of_epochs=config.epochs,
        minutes=history[-1]["cumulative_seconds"] / 60 if history else 0.0,
        failure=_read(folder / FAILURE).get("message", ""),
        history=tuple(history),
        measured=_read(folder / MEASURED),
    )


def _read(file: Path) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return plain


def _plain(found: Reproduction) -> dict[str, Any]:
    shown = [field.name for field in dataclasses.fields(Reproduced) if field.name not in ("history", "trials")]
    rows = [{name: getattr(row, name) for name in shown} for row in found.rows]
    return {
        "experiment": found.experiment,
        "rows": rows,
        "changes": list(found.changes),
        "evaluated_on": found.evaluated_on,
    }
