"""The state of a run: what a checkpoint holds, and how it comes back on any number of processes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor
from torch.optim.swa_utils import AveragedModel

from netdeconv.training.checkpoint import CheckpointError, load_checkpoint, require_fit

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def _nothing() -> Tensor:
    return torch.zeros(0, dtype=torch.float64)


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run is.

    Args:
        history: one record for each finished epoch.
        losses: of every step of the epoch that is not finished, float64.
        seconds: of the same steps.
    """

    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    losses: Tensor = dataclasses.field(default_factory=_nothing)
    seconds: Tensor = dataclasses.field(default_factory=_nothing)

    def and_steps(self, losses: Tensor, seconds: float) -> Progress:
        """Return the progress after some more steps, each of which took so many seconds."""
        more = torch.full_like(losses, seconds)
        return Progress(self.history, torch.cat([self.losses, losses]), torch.cat([self.seconds, more]))


class State:
    """Collects and restores all that decides how a run goes on.

    Args:
        network: that is trained; its parameters may be sharded.
        optimizer: its.
        average: of its weights, if there is one.
        fabric: device, precision and processes.
    """

    def __init__(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, average: AveragedModel | None, fabric: Fabric
    ) -> None:
        self._network, self._optimizer, self._average, self._fabric = network, optimizer, average, fabric
        self._random: dict[str, Tensor] = {}

    def collect(self, progress: Progress) -> dict[str, Any]:
        """Return tensors and plain data; every process has to call it."""
        cuda = self._fabric.device.type == "cuda"
        state = {
            "format": 2,
            "epoch": len(progress.history),
            "history": progress.history,
            "within": {"losses": progress.losses, "seconds": progress.seconds},
            "model": whole_model(self._network),
            "optimizer": whole_optimizer(self._network, self._optimizer),
            "precision": self._fabric.strategy.precision.state_dict(),
            "rng": self._of_all(torch.get_rng_state()),
            "rng_cuda": self._of_all(torch.cuda.get_rng_state()) if cuda else torch.empty(0),
        }
        if self._average is not None:
            state["average"] = self._average.state_dict()
        return state

    def load(self, path: Path) -> Progress:
        """Restore what :meth:`collect` returned.

        Raises:
            CheckpointError: when the file is damaged, of another network or optimiser, or not of a run.
        """
        state = load_checkpoint(path)
        try:
            load_model(self._network, state["model"], path)
            load_optimizer(self._network, self._optimizer, state["optimizer"], path)
            if self._average is not None:
                self._average.load_state_dict(state["average"])
            self._fabric.strategy.precision.load_state_dict(state["precision"])
            self._random = {name: state[name] for name in ("rng", "rng_cuda")}
            progress = Progress(state["history"], **state["within"])
        except KeyError as error:
            raise CheckpointError(f"{path} is not a checkpoint that a run can go on from: it lacks {error}") from error
        self.restore_random()
        return progress

    def restore_random(self) -> None:
        """Set the random numbers of this process as they were; one that was not there keeps its own."""
        rank = self._fabric.global_rank
        if rank < len(self._random["rng"]):
            torch.set_rng_state(self._random["rng"][rank])
        if rank < len(self._random["rng_cuda"]) and self._fabric.device.type == "cuda":
            torch.cuda.set_rng_state(self._random["rng_cuda"][rank])

    def _of_all(self, own: Tensor) -> Tensor:
        """The processes' tensors as one, process by process."""
        if self._fabric.world_size == 1:
            return own[None]
        gathered: Any = self._fabric.all_gather(own)
        return gathered.cpu()


def is_sharded(model: nn.Module) -> bool:
    """Whether parameters are spread over processes."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def whole_model(model: nn.Module) -> dict[str, Any]:
    """Return the state_dict of the whole network; every process has to call it."""
    return get_model_state_dict(model, options=_WHOLE) if is_sharded(model) else model.state_dict()


def whole_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the optimiser's whole state_dict, by the parameters' numbers; every process has to call it."""
    if not is_sharded(model):
        return optimizer.state_dict()
    named: dict[str, Any] = get_optimizer_state_dict(model, optimizer, options=_WHOLE)
    number = {name: index for index, (name, _) in enumerate(model.named_parameters())}
    groups = [
        {**group, "params": [number[name] for name in group["params"]]} for group in named.get("param_groups", [])
    ]
    return {"state": {number[name]: state for name, state in named.get("state", {}).items()}, "param_groups": groups}


def load_model(model: nn.Module, saved: dict[str, Any], path: Path) -> None:
    """Load a whole network's weights and buffers, all of them or none.

    Raises:
        CheckpointError: when the network is another one, with the keys that differ.
    """
    require_fit(model, saved, path)
    if is_sharded(model):
        set_model_state_dict(model, saved, options=StateDictOptions(full_state_dict=True))
    else:
        model.load_state_dict(saved)


def load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, saved: dict[str, Any], path: Path) -> None:
    """Load an optimiser's whole state.

    Raises:
        CheckpointError: when it is another optimiser's.
    """
    try:
        if not is_sharded(model):
            optimizer.load_state_dict(saved)
            return
        names = [name for name, _ in model.named_parameters()]
        groups = [{**group, "params": [names[index] for index in group["params"]]} for group in saved["param_groups"]]
        state = {names[index]: value for index, value in saved["state"].items()}
        whole: dict[str, Any] = {"state": state, "param_groups": groups}
        set_optimizer_state_dict(model, optimizer, whole, options=StateDictOptions(full_state_dict=True))
    except (ValueError, KeyError, IndexError) as error:
        raise CheckpointError(f"{path} belongs to another optimizer: {error}") from error
