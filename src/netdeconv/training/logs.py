"""What a run notes while it trains, for those who watch: other tools' logs, and the health of whitened layers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

from lightning_fabric.loggers.csv_logs import CSVLogger
from lightning_fabric.loggers.logger import Logger
from lightning_fabric.loggers.tensorboard import TensorBoardLogger
from torch import nn

from netdeconv.health import Monitor, monitor
from netdeconv.health.monitor import as_numbers
from netdeconv.nn import WhitenedLayer
from netdeconv.training.checkpoint import write_atomically
from netdeconv.training.config import LoggerName
from netdeconv.training.measuring import finite

HEALTH = "health.jsonl"
_EVERY = 50


def _wandb(folder: Path) -> Logger:
    """Weights & Biases; a resumed session goes on as another run of the group."""
    try:
        from pytorch_lightning.loggers import WandbLogger
    except ModuleNotFoundError as error:
        raise RuntimeError("the logger 'wandb' needs two packages more: pip install pytorch-lightning wandb") from error
    return WandbLogger(project="netdeconv", group=folder.name, save_dir=folder)


# By name, in a run directory; each writes into a folder of its own for every session of the run.
LOGGERS: dict[LoggerName, Callable[[Path], Logger]] = {
    "csv": lambda folder: CSVLogger(folder, name="csv", flush_logs_every_n_steps=1),
    "tensorboard": lambda folder: TensorBoardLogger(folder, name="tensorboard"),
    "wandb": _wandb,
}


class HealthLog:
    """Reads the whitened layers of a network every 50 steps, at least once an epoch, into ``health.jsonl``.

    Args:
        folder: run directory.
        network: that is trained.
        steps: of an epoch.
        parts: forward passes of a step.
    """

    def __init__(self, folder: Path, network: nn.Module, *, steps: int, parts: int = 1) -> None:
        self._file, self._parts, self._done = folder / HEALTH, parts, 0
        if any(isinstance(module, WhitenedLayer) for module in network.modules()):
            monitor(network, every=min(_EVERY, steps) * parts, warn=False, on_reading=self._note)

    def begin(self, steps: int) -> None:
        """Keep what was read in so many steps; the next ones are trained now."""
        self._done = steps
        if self._file.exists():
            kept = ""
            for line in self._file.read_text(encoding="utf-8").splitlines(keepends=True):
                with contextlib.suppress(ValueError):  # a run that was killed may have left half a line
                    kept += line if json.loads(line)["step"] <= steps else ""
            write_atomically(self._file, kept.encode())

    def _note(self, seen: Monitor) -> None:
        layers = {name: finite(dict(as_numbers(health))) for name, health in seen.latest.items()}
        warned: dict[str, dict[str, str]] = {}
        for (name, kind), text in seen.warned.items():
            warned.setdefault(name, {})[kind] = text
        record = {"step": self._done + -(-seen.step // self._parts), "layers": layers, "warnings": warned}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
