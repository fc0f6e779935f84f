"""Fabric's loggers by name, for those who watch runs with other tools than ``metrics.jsonl``."""

from __future__ import annotations

import importlib
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


class WandbLogger(Logger):
    """Weights & Biases, through the package's own calls; a resumed session goes on as another run of the group.

    Args:
        folder: run directory; its name is the group.
        session: name of this session.

    Raises:
        RuntimeError: when the package is not installed.
    """

    def __init__(self, folder: Path, session: str) -> None:
        try:
            wandb = importlib.import_module("wandb")
        except ModuleNotFoundError as error:
            raise RuntimeError("the logger 'wandb' needs wandb, which is not installed: pip install wandb") from error
        self._run = wandb.init(project="netdeconv", group=folder.name, name=f"{folder.name}-{session}", dir=str(folder))

    @property
    def name(self) -> str:
        """``"wandb"``."""
        return "wandb"

    @property
    def version(self) -> str:
        """The run's identity there."""
        return str(self._run.id)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Note settings."""
        del args, kwargs
        self._run.config.update(params)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Note the numbers of an epoch."""
        self._run.log(metrics, step=step)

    def finalize(self, status: str) -> None:
        """End the run."""
        self._run.finish(exit_code=0 if status == "finished" else 1)


LOGGERS: dict[str, Callable[[Path, str], Logger]] = {"csv": _csv, "tensorboard": _tensorboard, "wandb": WandbLogger}


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
