"""Walking and rewiring a tree of modules; what any surgery needs, whichever layers it is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import nn
from torch.nn.parallel import DistributedDataParallel

_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
)


def refuse_wrapped(model: nn.Module) -> None:
    """Raise for a model whose wrapper keeps its own books on the layers or their parameters."""
    if hasattr(model, "_orig_mod"):
        raise ValueError("the model is compiled: operate on the model itself, then compile the result")
    if isinstance(model, DistributedDataParallel):
        raise ValueError("the model is wrapped in DistributedDataParallel: operate on model.module, then wrap it")


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
