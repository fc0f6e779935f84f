"""Activations that overwrite their input, once the norm in front of them is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from torch import nn
from torch.nn.modules.conv import _ConvNd

from netdeconv.nn import WhitenedLayer


def stop_overwriting(model: nn.Module, removed: Collection[nn.Module]) -> None:
    """Switch activations to ``inplace=False``, but for those right behind a layer in an ``nn.Sequential``.

    A norm gave the activation behind it a tensor of its own; an Identity hands on one that others may read, such as
    a block's shortcut. The ``removed`` are what stands in the norms' places and hands its input on.
    """
    safe = _behind_layers(model, removed)
    for module in model.modules():
        if getattr(module, "inplace", None) is True and module not in safe:
            module.inplace = False  # type: ignore[assignment]


def _behind_layers(model: nn.Module, removed: Collection[nn.Module]) -> set[nn.Module]:
    """Modules that a Sequential calls right after a layer, whose output is new and read by nothing else."""
    safe: set[nn.Module] = set()
    calls: Counter[nn.Module] = Counter()
    for parent in model.modules():
        fresh = False
        for child in parent._modules.values():
            if child is None:
                continue
            calls[child] += 1
            if type(parent) is not nn.Sequential or child in removed:
                continue
            if fresh:
                safe.add(child)
            fresh = isinstance(child, (WhitenedLayer, _ConvNd, nn.Linear))
    return {module for module in safe if calls[module] == 1}
