"""Loggers by name, for those who watch runs with other tools than ``metrics.jsonl``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lightning_fabric.loggers.csv_logs import CSVLogger
from lightning_fabric.loggers.logger import Logger
from lightning_fabric.loggers.tensorboard import TensorBoardLogger

from netdeconv.training.config import LoggerName


def _wandb(folder: Path, session: str) -> Logger:
    """Weights & Biases; a resumed session goes on as another run of the group."""
    try:
        from pytorch_lightning.loggers import WandbLogger

        logger: Logger = WandbLogger(
            project="netdeconv", group=folder.name, name=f"{folder.name}-{session}", save_dir=folder
        )
    except ModuleNotFoundError as error:
        raise RuntimeError("the logger 'wandb' needs two packages more: pip install pytorch-lightning wandb") from error
    return logger


LOGGERS: dict[LoggerName, Callable[[Path, str], Logger]] = {
    "csv": lambda folder, session: CSVLogger(folder, name="csv", version=session, flush_logs_every_n_steps=1),
    "tensorboard": lambda folder, session: TensorBoardLogger(folder, name="tensorboard", version=session),
    "wandb": _wandb,
}


def build_loggers(names: Sequence[LoggerName], folder: Path) -> list[Logger]:
    """Return the loggers; each writes into a folder of its own for every session of a run."""
    number = 1
    while any((folder / kind / f"session_{number}").exists() for kind in LOGGERS):
        number += 1
    return [LOGGERS[name](folder, f"session_{number}") for name in names]
