"""The state of a run: what a checkpoint holds, and how it comes back on any number of processes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel

from netdeconv.training.checkpoint import CheckpointError, load_checkpoint, restore_model


@dataclasses.dataclass
class State:
    """All that decides how a run goes on.

    Args:
        network: that is trained.
        optimizer: its.
        average: of its weights, if there is one.
        fabric: device, precision and processes.
        history: one record for each finished epoch.
        losses: this process's, of every step of the epoch that is not finished.
        seconds: of the same steps.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    fabric: Fabric
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    losses: list[float] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)

    def collect(self) -> dict[str, Any]:
        """Return tensors and plain data; every process has to call it.

        Random numbers are every process's own. So are, within an epoch, running statistics and losses.
        """
        own = {"random": self._random(), "losses": self.losses, "buffers": self._buffers() if self.losses else {}}
        state = {
            "format": 3,
            "epoch": len(self.history),
            "history": self.history,
            "seconds": self.seconds,
            "processes": self._of_all(own),
            "model": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
        }
        if self.average is not None:
            state["average"] = self.average.state_dict()
        return state

    def load(self, path: Path) -> None:
        """Restore what :meth:`collect` returned; a process that was not there has the first one's state.

        Raises:
            CheckpointError: when the file is damaged, of another network or optimiser, or not of a run.
        """
        saved = load_checkpoint(path)
        restore_model(self.network, saved["model"], path)
        try:
            self.optimizer.load_state_dict(saved["optimizer"])
            if self.average is not None:
                self.average.load_state_dict(saved["average"])
            self.fabric.strategy.precision.load_state_dict(saved["precision"])
            self.history, self.seconds = saved["history"], saved["seconds"]
            processes, rank = saved["processes"], self.fabric.global_rank
            own = processes[rank if rank < len(processes) else 0]
            self.losses = own["losses"]
            with torch.no_grad():
                for name, value in own["buffers"].items():
                    self._buffers()[name].copy_(value)
        except (KeyError, ValueError) as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise CheckpointError(f"{path} is not a checkpoint that this run can go on from: {reason}") from error
        self._saved_random = own["random"] if rank < len(processes) else self._random()
        self.restore_random()

    def restore_random(self) -> None:
        """Set the random numbers of this process as they were; one that was not there keeps its own."""
        torch.set_rng_state(self._saved_random["cpu"])
        if "cuda" in self._saved_random and self.fabric.device.type == "cuda":
            torch.cuda.set_rng_state(self._saved_random["cuda"])

    def _random(self) -> dict[str, torch.Tensor]:
        cuda = {"cuda": torch.cuda.get_rng_state()} if self.fabric.device.type == "cuda" else {}
        return {"cpu": torch.get_rng_state(), **cuda}

    def _buffers(self) -> dict[str, torch.Tensor]:
        """Running statistics of the network and of its average."""
        own = {f"model.{name}": buffer for name, buffer in self.network.named_buffers()}
        if self.average is not None:
            own |= {f"average.{name}": buffer for name, buffer in self.average.named_buffers()}
        return own

    def _of_all(self, own: dict[str, Any]) -> list[Any]:
        """What every process has, process by process; empty in all but the first."""
        if self.fabric.world_size == 1:
            return [own]
        everyone: list[Any] | None = [None] * self.fabric.world_size if self.fabric.is_global_zero else None
        torch.distributed.gather_object(own, everyone)
        return everyone or []
