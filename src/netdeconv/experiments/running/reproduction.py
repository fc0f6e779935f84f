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


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """What became of an experiment so far.

    Args:
        experiment: its name.
        path: its directory.
        rows: those that were chosen or begun.
        changes: settings that are not the experiment's, in words.
    """

    experiment: str
    path: Path
    rows: tuple[Reproduced, ...]
    changes: tuple[str, ...]

    @property
    def evaluated_on(self) -> str:
        """Which part of the data set the scores are of; empty before the first."""
        return next((str(row.history[-1]["evaluated_on"]) for row in reversed(self.rows) if row.history), "")


def reproduce(
    experiment: Experiment,
    patterns: Iterable[str],
    path: str | Path,
    *,
    override: Callable[[TrainingConfig], TrainingConfig] = lambda config: config,
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
    patterns, changes, folder = tuple(patterns), tuple(changes), Path(path).expanduser()
    found = _collect(experiment, folder, {})

    def told() -> Reproduction:
        chosen = set(experiment.select(patterns, found))
        rows = tuple(row for label, row in found.items() if row.history or row.failure or label in chosen)
        return Reproduction(experiment.name, folder, rows, changes)

    require_one_process(override(found[experiment.select(patterns, found)[0]].row.config))
    is_begun = (folder / CONFIG).exists()
    if is_begun and read_config(folder).get("experiment") != experiment.name:
        raise RunDirectoryError(f"{folder} holds no rows of {experiment.name}: choose another --result-path")
    with RunDirectory(folder, name=experiment.name, resume=is_begun, option="--result-path") as directory:
        if not is_begun:
            directory.write_json(CONFIG, {"experiment": experiment.name})
        tried, written = set[str](), time.monotonic()
        # The rows that follow from others are known when those are trained.
        while left := [label for label in experiment.select(patterns, found) if label not in tried]:
            label, own = left[0], found[left[0]]
            tried.add(label)
            row = dataclasses.replace(own.row, config=override(own.row.config))
            if _is_done(folder_of(folder, label), row, own):
                continue
            _train(label, row, folder, reporter)
            found = _collect(experiment, folder, {other: run for other, run in found.items() if other != label})
            if time.monotonic() - written > _SECONDS_BETWEEN_TABLES:
                noted(told())
                written = time.monotonic()
        directory.write_json("summary.json", _plain(told()))
        return told()


def _collect(experiment: Experiment, path: Path, kept: Mapping[str, Reproduced]) -> dict[str, Reproduced]:
    """What the directory holds of the first rows, and of what follows from those; kept ones are not read again."""
    found: dict[str, Reproduced] = {}
    new = dict(experiment.rows)
    while new:
        found |= {label: kept.get(label) or _read(label, row, path) for label, row in new.items()}
        new = {label: row for label, row in experiment.known(found).items() if label not in found}
    return found


def _read(label: str, row: ExperimentRow, path: Path) -> Reproduced:
    """What the directory holds of a row."""
    folder = folder_of(path, label)
    if not (folder / CONFIG).exists():
        return Reproduced(label, row, of_epochs=row.config.epochs)
    return Reproduced(
        label,
        row,
        history=tuple(read_history(folder)),
        of_epochs=read_config(folder)["epochs"],
        failure=_json(folder / FAILURE).get("message", ""),
        measured=_json(folder / MEASURED),
    )


def _is_done(folder: Path, row: ExperimentRow, own: Reproduced) -> bool:
    """Whether a row needs not even be opened: all of it is trained, with these settings, or it has failed."""
    if own.failure:
        return True
    if not (folder / "summary.json").exists() or len(own.history) < row.config.epochs:
        return False
    return (row.measure is None or bool(own.measured)) and not differing_settings(row.config, read_config(folder))


def _train(label: str, row: ExperimentRow, directory: Path, reporter: Callable[[str], Reporter]) -> None:
    folder = folder_of(directory, label)
    for _ in train_rows({label: row.config}, directory, reporter=reporter):
        if row.measure is not None and not (folder / FAILURE).exists():
            measured = row.measure(folder, row.config)
            write_atomically(folder / MEASURED, (json.dumps(measured, indent=2) + "\n").encode())


def _json(file: Path) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return plain


def _plain(told: Reproduction) -> dict[str, Any]:
    rows = [
        {
            "label": row.label,
            "expected": dict(row.row.expected),
            "score": row.score,
            "epochs": len(row.history),
            "of_epochs": row.of_epochs,
            "minutes": row.seconds / 60,
            "failure": row.failure,
            "measured": dict(row.measured),
        }
        for row in told.rows
    ]
    return {"experiment": told.experiment, "rows": rows, "changes": told.changes, "evaluated_on": told.evaluated_on}
