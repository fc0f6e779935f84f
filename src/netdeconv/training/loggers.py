"""Fabric's loggers by name, for those who watch runs with other tools than ``metrics.jsonl``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.csv_logs import CSVLogger
from lightning_fabric.loggers.logger import Logger
from lightning_fabric.loggers.tensorboard import TensorBoardLogger

from netdeconv.lookup import look_up


def _csv(folder: Path, session: str) -> Logger:
    return CSVLogger(folder, name="csv", version=session, flush_logs_every_n_steps=1)


def _tensorboard(folder: Path, session: str) -> Logger:
    return TensorBoardLogger(folder, name="tensorboard", version=session)


LOGGERS: dict[str, Callable[[Path, str], Logger]] = {"csv": _csv, "tensorboard": _tensorboard}


def build_loggers(names: Sequence[str], folder: Path) -> list[Logger]:
    """Return the loggers; each writes into a folder of its own for every session of a run.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such logger.
    """
    kinds = [look_up("logger", name, LOGGERS) for name in names]
    session = next(
        name
        for number in range(1, 10_000)
        if not any((folder / kind / (name := f"session_{number}")).exists() for kind in LOGGERS)
    )
    return [kind(folder, session) for kind in kinds]


def scalars(record: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a record."""
    return {name: value for name, value in record.items() if isinstance(value, (int, float))}
