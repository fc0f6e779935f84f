"""Checkpoints: written whole or not at all, tensors and plain data only, refused when they do not fit."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import pickle
import re
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class CheckpointError(RuntimeError):
    """A checkpoint that is damaged or belongs to another network."""


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write a file so that a reader finds the old content or the new, never a part.

    Raises:
        OSError: with the file's name, when the disk is full or refuses; the old content stays.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)  # a part of a file only fills the disk further
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain data so that a stop at any moment leaves the old file or the new.

    Raises:
        CheckpointError: when the disk is full or refuses, with what is left of the run.
    """
    content = io.BytesIO()  # torch's own writer does not say why a file cannot be written
    torch.save(dict(state), content)
    try:
        write_atomically(path, content.getbuffer())
    except OSError as error:
        rest = f"the last good checkpoint is intact in {path}" if path.exists() else "there is no earlier one"
        raise CheckpointError(f"cannot write the checkpoint ({error.strerror}); {rest}") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is executed.

    Raises:
        CheckpointError: when the file is truncated, damaged, or holds more than tensors and plain data.
        OSError: when there is no such file, or it cannot be read.
    """
    path.open("rb").close()  # an error of the system is one of its own
    try:
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()  # torch does not compare the checksums
        if part is not None:
            raise ValueError(f"the checksum of {part} is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or "model" not in state:
            raise ValueError("it holds no model")
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # torch goes on with advice to read it without protection
            code = re.search(r"GLOBAL (\S+)", str(error))
            reason = f"it names {code[1]}, which could run as code" if code else "its contents cannot be read"
        raise CheckpointError(f"{path} is truncated, damaged or not a checkpoint ({reason})") from error
    return state


def restore_model(model: nn.Module, saved: Mapping[str, Tensor], path: Path) -> None:
    """Load weights and buffers.

    Raises:
        CheckpointError: when the network is another one, with the first keys that differ.
    """
    try:
        model.load_state_dict(saved)
    except RuntimeError as error:
        keys = textwrap.shorten(str(error).partition("\n")[2], 400, placeholder=" ...")
        raise CheckpointError(f"{path} belongs to another network: {keys}") from error


def evaluated_weights(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights that a run evaluated: the averaged ones where there are such, else the network's."""
    average = state.get("average", {}).items()
    own = {key.removeprefix("module."): value for key, value in average if key.startswith("module.")}
    return own or state["model"]


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
