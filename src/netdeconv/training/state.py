"""The state of a run between epochs: what a checkpoint holds, and how it comes back on any number of processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor

from netdeconv.training.checkpoint import CheckpointError, require_fit

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


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
