"""Running a experiment's rows in one directory, in as many sittings as it takes, and what came of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from netdeconv.experiments.running.experiment import Experiment
from netdeconv.experiments.running.rows import FAILURE, folder_of, read_history, require_one_process, train_rows
from netdeconv.training import (
    Reporter,
    RunDirectory,
    RunDirectoryError,
    TrainingConfig,
    differing_settings,
    read_config,
    to_plain,
)
from netdeconv.training.run_directory import CONFIG


@dataclasses.dataclass(frozen=True)
class Reproduced:
    """One row of the table.

    Args:
        label: of the experiment's row.
        expected: score in per cent, by who found it.
        score: after the last epoch that was trained, in per cent; ``None``: there is none.
        epochs: that were trained.
        of_epochs: that the row has.
        minutes: of training.
        failure: what ended the run; empty: nothing did.
    """

    label: str
    expected: Mapping[str, float]
    score: float | None
    epochs: int
    of_epochs: int
    minutes: float
    failure: str = ""


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """What became of a experiment so far.

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
    labels: Iterable[str],
    path: str | Path,
    *,
    override: Callable[[TrainingConfig], TrainingConfig] = lambda config: config,
    changes: Iterable[str] = (),
    reporter: Callable[[str], Reporter],
    noted: Callable[[Reproduction], None] = lambda reproduction: None,
) -> Reproduction:
    """Train rows of a experiment, or what is left of them.

    Args:
        experiment: the experiment.
        labels: of the rows to train, in this order.
        path: the directory; every row gets a folder in it, and what is there already is continued.
        override: returns a row's settings with what a person wants otherwise: where data are, fewer epochs.
        changes: what ``override`` changes of the numbers, in words.
        reporter: who is told of a row's progress, by its label.
        noted: is called after every row.

    Returns:
        All rows of the experiment, trained ones with their score.

    Raises:
        RunDirectoryError: when the directory is in use, belongs to another experiment, or a row was begun with other
            settings.
        ValueError: when a run is to be trained in several processes.
    """
    folder = Path(path).expanduser()
    configs = {label: override(row.config) for label, row in experiment.rows.items()}
    for config in configs.values():
        require_one_process(config)
    is_begun = (folder / CONFIG).exists()
    if is_begun and read_config(folder).get("experiment") != experiment.name:
        raise RunDirectoryError(f"{folder} holds no rows of {experiment.name}: choose another --result-path")
    with RunDirectory(folder, name=experiment.name, resume=is_begun, option="--result-path") as directory:
        if not is_begun:
            plain = {label: to_plain(config) for label, config in configs.items()}
            directory.write_json(CONFIG, {"experiment": experiment.name, "runs": plain})
        todo = {label: configs[label] for label in labels if not _is_done(folder_of(folder, label), configs[label])}
        for _ in train_rows(todo, directory.path, reporter=reporter):
            found = _collect(experiment, configs, directory.path, tuple(changes))
            directory.write_json("summary.json", _plain(found))
            noted(found)
        return _collect(experiment, configs, directory.path, tuple(changes))


def _is_done(folder: Path, config: TrainingConfig) -> bool:
    """Whether a row needs not even be opened: all epochs are trained, with these settings."""
    if not (folder / "summary.json").exists() or len(read_history(folder)) < config.epochs:
        return False
    return not differing_settings(config, read_config(folder))


def _collect(
    experiment: Experiment, configs: Mapping[str, TrainingConfig], path: Path, changes: tuple[str, ...]
) -> Reproduction:
    rows, evaluated_on = [], ""
    for label, row in experiment.rows.items():
        folder, config = folder_of(path, label), configs[label]
        history = read_history(folder)
        evaluated_on = history[-1]["evaluated_on"] if history else evaluated_on
        failed = json.loads((folder / FAILURE).read_text(encoding="utf-8")) if (folder / FAILURE).exists() else {}
        rows.append(
            Reproduced(
                label=label,
                expected=row.expected,
                score=history[-1][config.task.metric] if history else None,
                epochs=len(history),
                of_epochs=config.epochs,
                minutes=history[-1]["cumulative_seconds"] / 60 if history else 0.0,
                failure=failed.get("message", ""),
            )
        )
    return Reproduction(experiment.name, path, tuple(rows), changes, evaluated_on)


def _plain(found: Reproduction) -> dict[str, Any]:
    plain = dataclasses.asdict(found)
    plain.pop("path")
    return plain
