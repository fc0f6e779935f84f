"""Walking and rewiring a tree of modules; what any surgery needs, whichever layers it is about."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy

_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
)
_SHARDED = (
    "the model is sharded: convert before it is; to fold, load the state that get_model_state_dict (of "
    "torch.distributed.checkpoint.state_dict, full_state_dict=True) gathers into a converted model that is not"
)


def refuse_wrapped(model: nn.Module) -> None:
    """Raise for a model whose wrapper keeps its own books on the layers or their parameters, or that lacks shapes."""
    if hasattr(model, "_orig_mod"):
        raise ValueError("the model is compiled: operate on the model itself, then compile the result")
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError("the model is scripted or traced: operate on the model itself, then script what fold returns")
    if isinstance(model, (DataParallel, DistributedDataParallel)):
        raise ValueError(f"the model is wrapped in {type(model).__name__}: operate on model.module, then wrap it")
    if any(type(module).__name__ == "FullyShardedDataParallel" for module in model.modules()):  # FSDP1
        raise ValueError(_SHARDED)
    for name, tensor in itertools.chain(model.named_parameters(), model.named_buffers()):
        if hasattr(tensor, "device_mesh"):  # a DTensor, of FSDP2 or tensor parallelism
            raise ValueError(_SHARDED)
        if is_lazy(tensor):
            raise ValueError(f"{name} has no shape yet: run one batch through the model first")


def refuse_meta(model: nn.Module) -> None:
    """Raise where values are needed and tensors have none."""
    for name, tensor in itertools.chain(model.named_parameters(), model.named_buffers()):
        if tensor.is_meta:
            raise ValueError(f"{name} is on the meta device and has no values: to_empty and load a state first")


def copied(model: nn.Module) -> nn.Module:
    """A deep copy.

    Raises:
        ValueError: when the model cannot be copied.
    """
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise ValueError(
            f"the model cannot be copied ({error}): operate on it before it is wrapped, or with inplace=True"
        ) from error


def names_of(model: nn.Module) -> dict[nn.Module, list[str]]:
    """Every module once, in registration order, with all its names: a shared module has several."""
    names: dict[nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)
    return names


def replace(model: nn.Module, replacements: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """Put every replacement wherever its original stood, so that what was shared stays shared.

    Returns:
        The model, or the replacement of the model itself.
    """
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is not None and child in replacements:
                parent._modules[name] = replacements[child]
    for old, new in replacements.items():
        _carry_over(old, new)
    return replacements.get(model, model)


def _carry_over(old: nn.Module, new: nn.Module) -> None:
    """Give the new module the old one's mode and hooks; handles of these hooks go on working."""
    new.train(old.training)
    for attribute in _HOOKS:
        hooks = vars(old)[attribute]
        hooks.update(vars(new)[attribute])
        vars(new)[attribute] = hooks
    vars(new)["_is_full_backward_hook"] = vars(old)["_is_full_backward_hook"]


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; afterwards every module has its own mode again."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training  # train() would switch the children too
