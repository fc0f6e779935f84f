"""An experiment's table as a results file, in the form that results/README.md describes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netdeconv.experiments.running.experiment import Experiment, Reproduced
from netdeconv.experiments.running.reproduction import Reproduction
from netdeconv.experiments.running.rows import folder_of
from netdeconv.training import read_config
from netdeconv.training.checkpoint import write_atomically

_PACKAGES = ("python", "torch", "torchvision", "lightning-fabric")
# Folders differ between machines, and have no place in a results file.
_PRIVATE = ("--data-dir", "--result-path", "--export")


def export(experiment: Experiment, found: Reproduction, arguments: Sequence[str], file: str | Path) -> Path:
    """Write the table of what was trained.

    Args:
        experiment: whose rows were trained.
        found: what came of them.
        arguments: what was typed after ``netdeconv reproduce``.
        file: to write.

    Raises:
        ValueError: when no row was trained yet.
    """
    trained = [row for row in found.rows if row.epochs or row.failure]
    if not trained:
        raise ValueError("no row was trained: there is nothing to export")
    runs = {row.label: _folders(found.path, row) for row in trained}
    folders = [folder for own in runs.values() for folder in own]
    sessions = [session for folder in folders for session in _sessions(folder)]
    threads = " or ".join(str(count) for count in sorted({session["threads"] for session in sessions}))
    precisions = " or ".join(sorted({session["precision"] for session in sessions}))
    notes = [f"Per cent on the {found.evaluated_on} images, after the last epoch."]
    if found.changes:
        notes.append(f"Not the experiment's settings: {', '.join(found.changes)}.")
    left = [row.label for row in found.rows if not row.is_finished and not row.failure]
    if left and not experiment.summarise:
        notes.append(f"Not trained yet: {', '.join(left)}.")
    table = {
        "name": experiment.title,
        "command": f"netdeconv reproduce {_public(arguments)}",
        "config": {label: _settings(own[0]) for label, own in runs.items()},
        "seed": sorted({int(read_config(folder)["seed"]) for folder in folders}),
        "versions": {package: sessions[0][package] for package in _PACKAGES},
        "hardware": f"{sessions[0]['processor']}, {threads} threads, {precisions}",
        "minutes": round(sum(row.minutes for row in trained), 1),
        "rows": _aligned(experiment.summarise(trained) if experiment.summarise else list(map(_line, trained))),
        "note": " ".join(notes),
    }
    parts = [{"name": title, "rows": lines(trained)} for title, lines in experiment.parts.items()]
    parts.append({"name": "The search, on images cut from the training set", "rows": _searched(trained)})
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(table | {"parts": [part for part in parts if part["rows"]]}, indent=1)
    write_atomically(path, (text + "\n").encode())
    return path


def _aligned(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same keys in every line; what a line lacks is None."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return [{key: row.get(key) for key in keys} for row in rows]


def _line(row: Reproduced) -> dict[str, Any]:
    """One line a run; of a search its best."""
    return {
        "run": row.label,
        "train loss": [round(record["train_loss"], 4) for record in row.history] or None,
        "score": None if row.score is None else round(row.score, 2),
        "failure": row.failure or None,
        "minutes": round(row.minutes, 1),
    }


def _searched(trained: Sequence[Reproduced]) -> list[dict[str, Any]]:
    return [
        {
            "run": row.label,
            "lr": trial.lr,
            "weight decay": trial.weight_decay,
            "score": None if trial.score is None else round(trial.score, 2),
            "state": trial.state,
        }
        for row in trained
        for trial in row.trials
    ]


def _folders(path: Path, row: Reproduced) -> list[Path]:
    """The run directories of a row: one for each trial of a search."""
    folder = folder_of(path, row.label)
    return [folder / trial.folder for trial in row.trials] or [folder]


def _settings(folder: Path) -> dict[str, Any]:
    plain = dict(read_config(folder))
    plain.pop("result_path")
    plain["data"] = {name: value for name, value in plain["data"].items() if name != "data_dir"}
    return plain


def _public(arguments: Sequence[str]) -> str:
    words = list(arguments)
    for flag in _PRIVATE:
        if flag in words:
            place = words.index(flag)
            del words[place : place + 2]
    return shlex.join(words)


def _sessions(folder: Path) -> list[dict[str, Any]]:
    plain: dict[str, Any] = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = plain["sessions"]
    return found
