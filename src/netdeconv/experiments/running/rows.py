"""Training the rows of a table one after the other, each in a folder of its own; a row that fails stays a row."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from netdeconv.training import Reporter, RunResult, TrainingConfig, run
from netdeconv.training.checkpoint import write_atomically
from netdeconv.training.run_directory import CONFIG

FAILURE = "failure.json"


@dataclasses.dataclass(frozen=True)
class Failure:
    """A row whose loss became NaN or infinite.

    Args:
        path: its run directory.
        message: when it happened.
        history: one record for each epoch before.
    """

    path: Path
    message: str
    history: tuple[dict[str, Any], ...]


Trained = RunResult | Failure


def folder_of(directory: Path, label: str) -> Path:
    """Return the run directory of a row."""
    return directory / label.replace(" ", "_").replace("/", "-")


def require_one_process(config: TrainingConfig) -> None:
    """Refuse settings, or a start with torchrun, that train one run in several processes.

    Raises:
        ValueError: when there are several processes.
    """
    parallel = config.parallel
    if torch.distributed.is_torchelastic_launched() or (parallel.devices or 1) > 1 or (parallel.nodes or 1) > 1:
        raise ValueError(
            "this command trains runs one after the other in one process: "
            "several processes train one run, with `netdeconv train` (which takes --experiment and --row)"
        )


def train_rows(
    runs: Mapping[str, TrainingConfig], directory: Path, *, reporter: Callable[[str], Reporter]
) -> Iterator[tuple[str, Trained]]:
    """Train every row, or what is left of it, and yield it when it is done.

    Args:
        runs: settings by label; where their ``result_path`` is, is decided here.
        directory: of all rows. What finished there before is read, not trained again; a row that failed has failed,
            until its folder is removed.
        reporter: who is told of a row's progress, by its label.

    Raises:
        RunDirectoryError: when a folder holds a run with other settings, or is in use.
        ValueError: when a run is to be trained in several processes.
    """
    for config in runs.values():
        require_one_process(config)
    watching = {label: reporter(label) for label in runs}
    for label, config in runs.items():
        folder = folder_of(directory, label)
        if (folder / FAILURE).exists():
            yield label, _failure(folder)
            continue
        placed = dataclasses.replace(config, result_path=str(folder))
        trained: Trained
        try:
            trained = run(placed, progress=watching[label], resume=(folder / CONFIG).exists())
        except FloatingPointError as error:
            write_atomically(folder / FAILURE, (json.dumps({"message": str(error)}) + "\n").encode())
            trained = _failure(folder)
        yield label, trained


def _failure(folder: Path) -> Failure:
    message = json.loads((folder / FAILURE).read_text(encoding="utf-8"))["message"]
    return Failure(folder, message, tuple(read_history(folder)))


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Return one record for each epoch of the run in a folder; a run that was killed may have left half a line."""
    file = folder / "metrics.jsonl"
    found: list[dict[str, Any]] = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found
