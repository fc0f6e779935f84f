"""Running an experiment's rows in one directory, in as many sittings as it takes, and what came of them."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch

from netdeconv.experiments.running.experiment import Experiment, ExperimentRow, Reproduced, one_a_run
from netdeconv.training.checkpoint import write_atomically
from netdeconv.training.plain import differing_settings
from netdeconv.training.progress import Reporter
from netdeconv.training.run_directory import (
    CONFIG,
    RunDirectory,
    RunDirectoryError,
    read_config,
    read_if_whole,
    read_records,
)
from netdeconv.training.session import run

FAILURE, MEASURED = "failure.json", "measured.json"
# Tables of thousands of rows take seconds to write: they are not written after every row.
_SECONDS_BETWEEN_TABLES = 20


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """What became of an experiment so far.

    Args:
        experiment: itself.
        path: its directory.
        rows: those that were chosen or begun.
    """

    experiment: Experiment
    path: Path
    rows: tuple[Reproduced, ...]

    @property
    def evaluated_on(self) -> str:
        """Which part of the data set the scores are of; empty before the first."""
        return next((str(row.history[-1]["evaluated_on"]) for row in reversed(self.rows) if row.history), "")

    def lines(self) -> list[dict[str, Any]]:
        """The experiment's table of what was trained: one line a run where it has no other."""
        trained = [row for row in self.rows if row.history or row.failure]
        return self.experiment.summarise(trained) if self.experiment.summarise else one_a_run(trained)


def reproduce(
    experiment: Experiment,
    patterns: Iterable[str],
    path: str | Path | None,
    *,
    reporter: Callable[[str], Reporter] = lambda label: Reporter(),
    render: Callable[[Reproduction], str] | None = None,
) -> Reproduction:
    """Train rows of an experiment, or what is left of them; then the rows that follow from these.

    What the directory holds of it is continued. A row whose loss diverges has failed, and is not tried again until its
    folder is removed.

    Args:
        experiment: the experiment.
        patterns: labels of the rows to train, or patterns of them; none: all. Others count for what follows where they
            were begun before.
        path: the directory, in which every row gets a folder; ``None`` for a new one in ``runs``.
        reporter: who is told of a row's progress, by its label.
        render: returns what is written as ``table.txt``, not more often than every 20 seconds, and at the end.

    Returns:
        The rows that were chosen, and those that were begun before.

    Raises:
        RunDirectoryError: when the directory is in use, belongs to another experiment, or a row was begun with other
            settings.
        ValueError: when a pattern selects no row, or a run is to be trained in several processes.
    """
    if torch.distributed.is_torchelastic_launched():
        raise ValueError(
            "this command trains runs one after the other in one process: "
            "several processes train one run, with `netdeconv train`"
        )
    patterns, saved = tuple(patterns), {"experiment": experiment.name}
    folder = None if path is None else Path(path).expanduser()
    found = _collect(experiment, folder, patterns, {})
    experiment.select(patterns, found)
    begun = None if folder is None or not (folder / CONFIG).exists() else read_config(folder)
    if begun not in (None, saved):
        raise RunDirectoryError(f"{folder} holds no rows of {experiment.name}: choose another --result-path")
    with RunDirectory(path, name=experiment.name, resume=begun is not None, option="--result-path") as directory:
        folder = directory.path
        if begun is None:
            directory.write_json(CONFIG, saved)

        def tell() -> Reproduction:
            chosen = set(experiment.select(patterns, found))
            rows = tuple(row for label, row in found.items() if row.history or row.failure or label in chosen)
            so_far = Reproduction(experiment, directory.path, rows)
            if render is not None:
                write_atomically(folder / "table.txt", render(so_far).encode())
            return so_far

        tried, written = set[str](), time.monotonic()
        # The rows that follow from others are known when those are trained.
        while left := [label for label in experiment.select(patterns, found) if label not in tried]:
            label, own = left[0], found[left[0]]
            tried.add(label)
            if _is_done(folder_of(folder, label), own):
                continue
            _train(label, own.row, folder, reporter)
            others = {other: run for other, run in found.items() if other != label}
            found = _collect(experiment, folder, patterns, others)
            if time.monotonic() - written > _SECONDS_BETWEEN_TABLES:
                tell()
                written = time.monotonic()
        end = tell()
        about = {**saved, "changes": experiment.changes, "evaluated_on": end.evaluated_on}
        directory.write_json("summary.json", {**about, "table": end.lines()})
        return end


def folder_of(directory: Path, label: str) -> Path:
    """Return the run directory of a row."""
    return directory / label.replace(" ", "_").replace("/", "-")


def _collect(
    experiment: Experiment, path: Path | None, patterns: Sequence[str], kept: Mapping[str, Reproduced]
) -> dict[str, Reproduced]:
    """What the directory holds of the first rows, and of what follows from those that were begun or asked for.

    Kept ones are not read again.
    """

    def counts(run: Reproduced) -> bool:
        asked_for = not patterns or any(fnmatchcase(run.label, pattern) for pattern in patterns)
        return asked_for or bool(run.history or run.failure)

    found: dict[str, Reproduced] = {}
    new = dict(experiment.rows)
    while new:
        found |= {label: kept.get(label) or _read(label, row, path) for label, row in new.items()}
        known = experiment.known({label: run for label, run in found.items() if counts(run)})
        new = {label: row for label, row in known.items() if label not in found}
    return found


def _read(label: str, row: ExperimentRow, path: Path | None) -> Reproduced:
    """What the directory holds of a row."""
    folder = folder_of(path or Path(), label)
    if path is None or not (folder / CONFIG).exists():
        return Reproduced(label, row, of_epochs=row.config.epochs)
    return Reproduced(
        label,
        row,
        history=tuple(read_records(folder / "metrics.jsonl")),
        of_epochs=read_config(folder)["epochs"],
        failure=read_if_whole(folder / FAILURE).get("message", ""),
        measured=read_if_whole(folder / MEASURED),
    )


def _is_done(folder: Path, own: Reproduced) -> bool:
    """Whether a row needs not even be opened: all of it is trained, with these settings, or it has failed."""
    row = own.row
    if own.failure:
        return True
    if not (folder / "summary.json").exists() or len(own.history) < row.config.epochs:
        return False
    return (row.measure is None or bool(own.measured)) and not differing_settings(row.config, read_config(folder))


def _train(label: str, row: ExperimentRow, directory: Path, reporter: Callable[[str], Reporter]) -> None:
    folder = folder_of(directory, label)
    placed = dataclasses.replace(row.config, result_path=str(folder))
    try:
        run(placed, progress=reporter(label), resume=(folder / CONFIG).exists())
    except FloatingPointError as error:
        _write(folder / FAILURE, {"message": str(error)})
        return
    if row.measure is not None:
        _write(folder / MEASURED, row.measure(folder, row.config))


def _write(file: Path, plain: Mapping[str, Any]) -> None:
    write_atomically(file, (json.dumps(plain, indent=2) + "\n").encode())
