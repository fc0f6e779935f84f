"""Run directories as they are on the disk, also while a run still writes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from netdeconv.tasks import TASKS
from netdeconv.training.logs import HEALTH
from netdeconv.training.run_directory import CONFIG, RunDirectoryError, read_config, read_if_whole, read_records


@dataclasses.dataclass(frozen=True)
class SavedRun:
    """One run directory.

    Args:
        path: the directory.
        label: short name, told apart from the other runs' that are read with it.
        plain: settings.
        history: one record for each finished epoch.
        health: readings of whitened layers.
        summary: empty until the run has finished.
        sessions: versions and hardware of every start.
    """

    path: Path
    label: str
    plain: dict[str, Any]
    history: list[dict[str, Any]]
    health: list[dict[str, Any]]
    summary: dict[str, Any]
    sessions: list[dict[str, Any]]

    @classmethod
    def read(cls, path: Path, label: str = "") -> SavedRun:
        """Read what is there.

        Raises:
            RunDirectoryError: when the folder holds no run.
        """
        environment = read_if_whole(path / "environment.json")
        return cls(
            path=path,
            label=label or path.name,
            plain=read_config(path),
            history=read_records(path / "metrics.jsonl"),
            health=read_records(path / HEALTH),
            summary=read_if_whole(path / "summary.json"),
            sessions=environment.get("sessions", []),
        )

    @property
    def is_finished(self) -> bool:
        """Whether it has trained its last epoch."""
        return bool(self.summary)

    @property
    def metric(self) -> str:
        """Key of the score in the records."""
        return str(getattr(TASKS.get(self.plain["task"]["name"]), "metric", "accuracy"))

    @property
    def command(self) -> list[str]:
        """What was typed."""
        typed = [str(word) for word in (self.sessions[0].get("command", []) if self.sessions else [])]
        return ["netdeconv", *typed[1:]] if typed else []


def find_runs(paths: Iterable[str | Path]) -> list[SavedRun]:
    """Read runs; of an experiment's folder all runs in it but those of its searches, where there are others.

    Raises:
        RunDirectoryError: when a folder holds no run.
    """
    folders: list[Path] = []
    for given in paths:
        path = Path(given).expanduser()
        files = sorted(path.rglob(CONFIG), key=lambda file: file.stat().st_mtime) if path.is_dir() else []
        found = [file.parent for file in files if "task" in read_if_whole(file)]
        if not found:
            raise RunDirectoryError(f"{path} holds no run: there is no {CONFIG} of a run in it or in its folders")
        folders += [folder for folder in found if ",_search" not in folder.name] or found
    folders = list(dict.fromkeys(folders))
    names = [folder.name for folder in folders]
    return [SavedRun.read(folder, folder.name if names.count(folder.name) == 1 else str(folder)) for folder in folders]
