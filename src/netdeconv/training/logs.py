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


def log_health(folder: Path, network: nn.Module, *, steps: int, parts: int, done: int) -> None:
    """Read the whitened layers of a network every 50 steps, at least once an epoch, into ``health.jsonl``.

    Args:
        folder: run directory.
        network: that is trained.
        steps: of an epoch.
        parts: forward passes of a step.
        done: steps that have been trained; what was read in later ones is taken away.
    """
    path = folder / HEALTH
    if path.exists():
        kept = ""
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            with contextlib.suppress(ValueError):  # a run that was killed may have left half a line
                kept += line if json.loads(line)["step"] <= done else ""
        write_atomically(path, kept.encode())

    def note(seen: Monitor) -> None:
        layers = {name: finite(dict(as_numbers(health))) for name, health in seen.latest.items()}
        warned: dict[str, dict[str, str]] = {}
        for (name, kind), text in seen.warned.items():
            warned.setdefault(name, {})[kind] = text
        record = {"step": done + -(-seen.step // parts), "layers": layers, "warnings": warned}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    if any(isinstance(module, WhitenedLayer) for module in network.modules()):
        monitor(network, every=min(_EVERY, steps) * parts, warn=False, on_reading=note)
