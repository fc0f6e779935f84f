"""One call that lets a model's whitened layers share their statistics over all ranks."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import nn

from netdeconv.nn.layer import WhitenedLayer
from netdeconv.nn.ranks import Ranks

M = TypeVar("M", bound=nn.Module)


def sync_statistics(model: M, process_group: Any = None) -> M:
    """Let whitened layers use the statistics of the batches of all ranks, as ``nn.SyncBatchNorm`` does.

    ``SyncBatchNorm.convert_sync_batchnorm``, which Lightning's ``sync_batchnorm=True`` calls too, replaces batch norms
    alone: it does nothing for whitened layers. Call this function instead, where the model is built.

    Args:
        model: with whitened layers; changed in place. Every rank has to call it, before it is wrapped.
        process_group: whose ranks share statistics; None: all. It is in no state_dict.

    Shapes:
        any.

    Returns:
        ``model``.

    Raises:
        ValueError: when the model has no whitened layer.

    Numerics:
        One all-reduce of 1 + G (D + D^2) numbers for each layer and training step, and another of their gradient.
        Products are taken about the running mean, which all
        ranks share, so that large means do not cancel. Ranks may have batches of different sizes, also none. With one
        rank nothing is communicated.

    Source:
        Not in the published implementation. For batch norm: ``torch.nn.SyncBatchNorm``.

    Example:
        >>> _ = sync_statistics(nn.Sequential(WhitenedLinear(4, 2)))
    """
    layers = [module for module in model.modules() if isinstance(module, WhitenedLayer)]
    if not layers:
        raise ValueError("the model has no whitened layer: convert it first")
    for layer in layers:
        layer.statistics.ranks = Ranks(process_group)
    return model
