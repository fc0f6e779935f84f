"""The folder of a run: settings, versions, metrics, checkpoint, summary; one run at a time."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock
from lightning_fabric import Fabric

from netdeconv.training.checkpoint import write_atomically

CONFIG = "config.json"
# A killed run's processes, and its data loaders' that hold the same lock, may need seconds to end (torch: 5).
RESUME_PATIENCE_S = 10.0
_RESULTS = ("checkpoint.pt", "summary.json", "search.journal")


class RunDirectoryError(RuntimeError):
    """A run directory that is in use, already taken, damaged, or holds no run."""


class RunDirectory:
    """Claims a folder for one run and knows the names of its files.

    The claim is a lock of the operating system, so it ends with the process, however that ends; a run to resume may
    have been killed a moment ago, and is waited for. A run that failed before it had anything to show does not keep the
    folder from the next. What fails before it begins leaves the folder as it was, and none that it made. A
    KeyboardInterrupt that passes gets a message that says how to go on; where runs are in folders of one another, that
    of the outermost.

    Args:
        path: the folder; ``None`` for a new one in ``runs``.
        name: what the run is, for the name of a new folder.
        resume: whether the folder must hold a run already, instead of must not.
        claim: whether this process writes; without, another one does, and nothing is written here.
        option: of the command line, with which a run in this folder goes on.

    Raises:
        RunDirectoryError: when another process uses it, it holds a run already, or holds none to resume.
    """

    def __init__(
        self,
        path: str | Path | None,
        *,
        name: str,
        resume: bool = False,
        claim: bool = True,
        option: str = "--resume",
    ) -> None:
        self.path = Path(path).expanduser() if path is not None else _new_folder(name)
        self.checkpoint, self.metrics = self.path / "checkpoint.pt", self.path / "metrics.jsonl"
        self.is_resumed = resume
        self._claims, self._option = claim, option
        if not claim:
            return
        if resume and not (self.path / CONFIG).is_file():
            raise RunDirectoryError(f"{self.path} holds no run to resume: there is no {CONFIG} in it")
        self._is_new = path is None or not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            kind = "a link to nothing" if self.path.is_symlink() else "not a folder"
            raise RunDirectoryError(f"{self.path} is {kind}") from None
        lock = self.path / "run.lock"
        self._new_files = [file for file in (lock, self.path / "environment.json") if not file.exists()]
        self._lock = filelock.FileLock(lock)
        try:
            self._lock.acquire(timeout=RESUME_PATIENCE_S if resume else 0)
        except filelock.Timeout:
            raise RunDirectoryError(f"{self.path} is in use by another run") from None
        if not resume and (self.path / CONFIG).exists():
            if self.has_results():
                self._lock.release()
                raise RunDirectoryError(
                    f"{self.path} already holds a run: choose another --result-path, "
                    f"or continue it with --resume {self.path}"
                )
            (self.path / CONFIG).unlink()

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._claims:
            return
        has_begun = (self.path / CONFIG).exists()
        if isinstance(error, KeyboardInterrupt):
            so_far, then = ("", "continues") if self.has_results() else (" before anything was saved", "begins again")
            how = f"stopped{so_far}; {self._option} {self.path} {then}"
            error.args = (how if has_begun else "stopped before the run began",)
        if not has_begun:
            with contextlib.suppress(OSError):  # it must not hide what the run failed of
                for file in self._new_files:
                    file.unlink(missing_ok=True)
                if self._is_new:
                    self.path.rmdir()
        self._lock.release()

    def has_results(self) -> bool:
        """Whether there is more than what a run begins with: something that it, or runs in folders of it, achieved."""
        found = {entry.name for entry in self.path.iterdir() if entry.is_dir() or entry.name in _RESULTS}
        return bool(found) or (self.metrics.exists() and self.metrics.stat().st_size > 0)

    def begin(self, config: Mapping[str, Any], surroundings: Mapping[str, Any]) -> None:
        """Write the settings, and add this session to the record of versions."""
        file = self.path / "environment.json"
        is_more = self._claims and self.is_resumed and file.exists()
        sessions = _read_json(file).get("sessions", []) if is_more else []
        self.write_json(file.name, {"sessions": [*sessions, surroundings]})
        self.write_json(CONFIG, config)  # last: from here on the folder holds a run

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a file of settings or results, whole or not at all."""
        self._write(self.path / name, json.dumps(content, indent=2, allow_nan=False) + "\n")

    def write_metrics(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Make the metrics file hold exactly these lines."""
        self._write(self.metrics, "".join(json.dumps(record, allow_nan=False) + "\n" for record in history))

    def _write(self, path: Path, text: str) -> None:
        if self._claims:
            write_atomically(path, text.encode())


def open_directory(fabric: Fabric, path: str | Path | None, *, name: str, resume: bool) -> RunDirectory:
    """Claim a folder in the first process and tell the others of it.

    Raises:
        RunDirectoryError: in every process, as :class:`RunDirectory` does in the first.
    """
    claimed: RunDirectory | None = None
    refusal: Exception | None = None
    if fabric.is_global_zero:
        try:
            claimed = RunDirectory(path, name=name, resume=resume)
        except (RunDirectoryError, OSError) as error:
            refusal = error
    folder, refused = fabric.broadcast((str(claimed.path) if claimed else "", str(refusal or "")))
    if refused:
        raise RunDirectoryError(refused) from refusal
    return claimed or RunDirectory(folder, name=name, resume=resume, claim=False)


def read_config(path: str | Path) -> dict[str, Any]:
    """Return the plain settings of the run in a folder.

    Raises:
        RunDirectoryError: when there is no run, or its settings cannot be read.
    """
    return _read_json(Path(path).expanduser() / CONFIG)


def read_records(file: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a file of records: a run that writes, or was killed, may have left half of the last."""
    found: list[dict[str, Any]] = []
    with contextlib.suppress(OSError, ValueError):
        for line in file.read_text(encoding="utf-8").splitlines():
            found.append(json.loads(line))
    return found


def read_if_whole(file: Path) -> dict[str, Any]:
    """Return a file's content; nothing where there is none, or half of one."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunDirectoryError(f"{file.parent} holds no run: cannot read {file} ({error.strerror})") from error
    except ValueError as error:
        raise RunDirectoryError(f"{file} is damaged: it is no JSON ({error})") from error
    return content


def _new_folder(name: str) -> Path:
    stamp = datetime.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    for number in itertools.count(1):
        path = Path("runs") / (f"{stamp}-{name}" + (f"-{number}" if number > 1 else ""))
        with contextlib.suppress(FileExistsError):
            path.mkdir(parents=True)
            break
    return path
