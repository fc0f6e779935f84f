"""An experiment's table as a results file, in the form that results/README.md describes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netdeconv.experiments.running.experiment import Experiment
from netdeconv.experiments.running.reproduction import Reproduced, Reproduction
from netdeconv.experiments.running.rows import folder_of, read_history
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
    folders = [folder_of(found.path, row.label) for row in trained]
    sessions = [session for folder in folders for session in _read(folder)["sessions"]]
    first = sessions[0]
    threads = " or ".join(str(count) for count in sorted({session["threads"] for session in sessions}))
    precisions = " or ".join(sorted({session["precision"] for session in sessions}))
    changes = [f"Not the experiment's settings: {', '.join(found.changes)}."] if found.changes else []
    table = {
        "name": experiment.title,
        "command": f"netdeconv reproduce {_public(arguments)}",
        "config": {row.label: _settings(folder) for row, folder in zip(trained, folders, strict=True)},
        "seed": sorted({int(read_config(folder)["seed"]) for folder in folders}),
        "versions": {package: first[package] for package in _PACKAGES},
        "hardware": f"{first['processor']}, {threads} threads, {precisions}",
        "minutes": round(sum(row.minutes for row in trained), 1),
        "rows": experiment.summarise(trained) if experiment.summarise else _rows(trained, found.path),
        "note": " ".join([f"Per cent on the {found.evaluated_on} images, after the last epoch.", *changes]),
    }
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(table, indent=1) + "\n").encode())
    return path


def _rows(trained: Sequence[Reproduced], directory: Path) -> list[dict[str, Any]]:
    """One line a run."""
    lines = []
    for row in trained:
        history = read_history(folder_of(directory, row.label))
        lines.append(
            {
                "run": row.label,
                "train loss": [round(record["train_loss"], 4) for record in history],
                "score": None if row.score is None else round(row.score, 2),
                "failure": row.failure or None,
                "minutes": round(row.minutes, 1),
            }
        )
    return lines


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


def _read(folder: Path) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    return plain
