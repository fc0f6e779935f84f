"""The folder of a run: settings, versions, metrics, checkpoint, summary; one run at a time."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock
import torch
from lightning_fabric import Fabric

from netdeconv.training.checkpoint import write_atomically

CONFIG = "config.json"
# A killed run's processes, and its data loaders' that hold the same lock, may need seconds to end (torch: 5).
RESUME_PATIENCE_S = 10.0
_PACKAGES = ("netdeconv", "torch", "torchvision", "lightning-fabric", "torchmetrics", "scikit-learn", "numpy")


class RunDirectoryError(RuntimeError):
    """A run directory that is in use, already taken, or holds no run."""


class RunDirectory:
    """Claims a folder for one run and knows the names of its files.

    The claim is a lock of the operating system, so it ends with the process, however that ends. A run to resume may
    have been killed a moment ago: its lock is waited for, up to ``RESUME_PATIENCE_S``.

    Args:
        path: the folder; ``None`` for a new one in ``runs``.
        name: what the run is, for the name of a new folder.
        resume: whether the folder must hold a run already, instead of must not.

    Raises:
        RunDirectoryError: when another process uses it, it holds a run already, or holds none to resume.
    """

    def __init__(self, path: str | Path | None, *, name: str, resume: bool = False) -> None:
        self.path = Path(path).expanduser() if path is not None else _new_folder(name)
        if resume and not (self.path / CONFIG).is_file():
            raise RunDirectoryError(f"{self.path} holds no run to resume: there is no {CONFIG} in it")
        if self.path.exists() and not self.path.is_dir():
            raise RunDirectoryError(f"{self.path} is not a folder")
        self.is_resumed = resume
        self._is_new = not any(self.path.iterdir()) if self.path.exists() else True
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(self.path / "run.lock")
        try:
            self._lock.acquire(timeout=RESUME_PATIENCE_S if resume else 0)
        except filelock.Timeout:
            raise RunDirectoryError(f"{self.path} is in use by another run") from None
        if not resume and (self.path / CONFIG).exists():
            self._lock.release()
            raise RunDirectoryError(
                f"{self.path} already holds a run: choose another --result-path, "
                f"or continue it with --resume {self.path}"
            )

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()
        # A run that failed before it began leaves nothing behind.
        if self._is_new and not (self.path / CONFIG).exists():
            shutil.rmtree(self.path)

    @property
    def checkpoint(self) -> Path:
        """The file with the state after the last finished epoch."""
        return self.path / "checkpoint.pt"

    @property
    def best(self) -> Path:
        """The file with the network of the best epoch."""
        return self.path / "best.pt"

    @property
    def metrics(self) -> Path:
        """The file with one line of JSON an epoch."""
        return self.path / "metrics.jsonl"

    def begin(self, config: Mapping[str, Any], surroundings: Mapping[str, Any]) -> None:
        """Write the settings, unless the run is resumed, and add this session to the record of versions."""
        file = self.path / "environment.json"
        sessions = json.loads(file.read_text(encoding="utf-8"))["sessions"] if file.exists() else []
        self.write_json(file.name, {"sessions": [*sessions, dict(surroundings)]})
        if not self.is_resumed:
            # Last: from here on the folder holds a run.
            self.write_json(CONFIG, config)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a file of settings or results, whole or not at all."""
        write_atomically(self.path / name, (json.dumps(content, indent=2) + "\n").encode())

    def write_metrics(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Make the metrics file hold exactly these lines."""
        write_atomically(self.metrics, "".join(json.dumps(record) + "\n" for record in history).encode())

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Add one line to the metrics file and wait until it is on the disk."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())


class SharedDirectory(RunDirectory):
    """The folder that another process claimed and writes: this one only reads.

    Args:
        path: the folder.
        is_resumed: whether it holds a run that is continued.
    """

    def __init__(self, path: Path, *, is_resumed: bool) -> None:
        self.path = path
        self.is_resumed = is_resumed

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the folder to its owner."""

    def begin(self, config: Mapping[str, Any], surroundings: Mapping[str, Any]) -> None:
        """Write nothing."""

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write nothing."""

    def write_metrics(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write nothing."""

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Write nothing."""


def open_directory(fabric: Fabric, path: str | Path | None, *, name: str, resume: bool) -> RunDirectory:
    """Claim a folder in the first process and tell the others of it.

    Raises:
        RunDirectoryError: in every process, as :class:`RunDirectory` does in the first.
    """
    if fabric.world_size == 1:
        return RunDirectory(path, name=name, resume=resume)
    claimed: RunDirectory | None = None
    answer = ("", "")
    if fabric.is_global_zero:
        try:
            claimed = RunDirectory(path, name=name, resume=resume)
            answer = (str(claimed.path), "")
        except RunDirectoryError as error:
            answer = ("", str(error))
    folder, refusal = fabric.broadcast(answer)
    if refusal:
        raise RunDirectoryError(refusal)
    return claimed or SharedDirectory(Path(folder), is_resumed=resume)


def read_config(path: str | Path) -> dict[str, Any]:
    """Return the plain settings of the run in a folder.

    Raises:
        RunDirectoryError: when there is no run.
    """
    file = Path(path).expanduser() / CONFIG
    try:
        settings: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"{path} holds no run: cannot read {file} ({error})") from error
    return settings


def environment(device: torch.device, precision: str, processes: int = 1) -> dict[str, Any]:
    """Return versions and hardware, for the record beside a run's numbers."""
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "system": platform.platform(),
        "processor": _processor_name(),
        "logical_processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": precision,
        "processes": processes,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _new_folder(name: str) -> Path:
    stamp = datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    for number in range(1, 1000):
        path = Path("runs") / (f"{stamp}-{name}" + (f"-{number}" if number > 1 else ""))
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise RunDirectoryError(f"cannot make a folder runs/{stamp}-{name}")
