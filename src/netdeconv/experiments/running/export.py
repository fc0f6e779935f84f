"""An experiment's table as a results file, in the form that results/README.md describes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netdeconv.experiments.running.runner import Reproduction, folder_of
from netdeconv.training.checkpoint import write_atomically
from netdeconv.training.run_directory import read_config, read_if_whole

_PACKAGES = ("python", "torch", "torchvision", "lightning-fabric")
# Folders differ between machines, and have no place in a results file.
_PRIVATE = ("--data-dir", "--result-path", "--export")


def export(found: Reproduction, arguments: Sequence[str], file: str | Path) -> Path:
    """Write the table of what was trained.

    Args:
        found: what came of an experiment's rows.
        arguments: what was typed after ``netdeconv reproduce``.
        file: to write.

    Raises:
        ValueError: when no row was trained yet.
    """
    experiment = found.experiment
    trained = [row for row in found.rows if row.history or row.failure]
    if not trained:
        raise ValueError("no row was trained: there is nothing to export")
    folders = {row.label: folder_of(found.path, row.label) for row in trained}
    configs = {label: read_config(folder) for label, folder in folders.items()}
    environments = [read_if_whole(folder / "environment.json") for folder in folders.values()]
    sessions = [session for each in environments for session in each["sessions"]]
    threads = " or ".join(str(count) for count in sorted({session["threads"] for session in sessions}))
    precisions = " or ".join(sorted({session["precision"] for session in sessions}))
    notes = [f"Per cent on the {found.evaluated_on} images, after the last epoch."]
    if experiment.changes:
        notes.append(f"Not the experiment's settings: {', '.join(experiment.changes)}.")
    left = [row.label for row in found.rows if not row.is_finished and not row.failure]
    if left and not experiment.summarise:
        notes.append(f"Not trained yet: {', '.join(left)}.")
    table = {
        "name": experiment.title,
        "command": f"netdeconv reproduce {_public(arguments)}",
        "config": {label: _settings(config) for label, config in configs.items()},
        "seed": sorted({int(config["seed"]) for config in configs.values()}),
        "versions": {package: sessions[0][package] for package in _PACKAGES},
        "hardware": f"{sessions[0]['processor']}, {threads} threads, {precisions}",
        "minutes": round(sum(row.seconds for row in trained) / 60, 1),
        "rows": found.lines(),
        "note": " ".join(notes),
    }
    parts = [{"name": title, "rows": lines(trained)} for title, lines in experiment.parts.items()]
    searched = [row.searched_line() for row in trained if ", search" in row.label]
    parts.append({"name": "The search, on images cut from the training set", "rows": searched})
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(table | {"parts": [part for part in parts if part["rows"]]}, indent=1)
    write_atomically(path, (text + "\n").encode())
    return path


def _settings(plain: dict[str, Any]) -> dict[str, Any]:
    data = {name: value for name, value in plain["data"].items() if name != "data_dir"}
    return {name: value for name, value in plain.items() if name != "result_path"} | {"data": data}


def _public(arguments: Sequence[str]) -> str:
    words = list(arguments)
    for flag in _PRIVATE:
        if flag in words:
            place = words.index(flag)
            del words[place : place + 2]
    return shlex.join(words)
