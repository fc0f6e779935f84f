"""Running statistics from data, in place of those that training happened to leave."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from netdeconv.nn import WhitenedLayer
from netdeconv.surgery.batches import calls
from netdeconv.surgery.notices import NothingChangedWarning, logger
from netdeconv.surgery.statistics import equal_weights
from netdeconv.surgery.tree import evaluation_mode


def recalibrate(model: nn.Module, batches: Iterable[Any]) -> nn.Module:
    """Compute the running statistics of all whitened layers anew, as the average over the batches.

    Whitened layers whiten with each batch's own statistics, as in training, so that every layer sees what it
    saw there; all else (dropout, batch norm) is in evaluation mode. No gradient, no random numbers.

    Args:
        model: any module with whitened layers; changed in place.
        batches: each a tensor, a tuple or list whose first element is the input, or a mapping of keyword
            arguments.

    Returns:
        The model. Every module has its mode, momentum and place in a freeze schedule back; a layer that no
        batch reached keeps its old statistics.

    Raises:
        TypeError: when ``batches`` is one batch instead of an iterable of them.
        ValueError: when there is no batch, or one with too few samples for a layer. The statistics are then
            as before.

    Warns:
        NothingChangedWarning: when the model has no whitened layer.

    Example:
        >>> net = nn.Sequential(WhitenedLinear(4, 2))
        >>> int(recalibrate(net, [torch.randn(8, 4), torch.randn(8, 4)])[0].num_batches_tracked)
        2
    """
    layers = {module: name for name, module in model.named_modules() if isinstance(module, WhitenedLayer)}
    if not layers:
        warnings.warn("recalibrate changed nothing: no whitened layer", NothingChangedWarning, stacklevel=2)
        return model
    before = {layer: {name: buffer.clone() for name, buffer in layer.named_buffers()} for layer in layers}
    todo = calls(batches, model)
    with torch.no_grad(), evaluation_mode(model), equal_weights(layers):
        for layer in layers:
            layer.reset_running_stats()
            layer.train()
        try:
            for call in todo:
                model(*call.args, **call.kwargs)
        except BaseException:
            for layer, buffers in before.items():
                _restore(layer, buffers)
            raise
    for layer, name in layers.items():
        if int(layer.num_batches_tracked) == 0:
            logger.info("%s: no batch reached it, its statistics stay as they were", name or "the model")
            _restore(layer, before[layer])
        elif layer.num_steps is not None and layer.held_whitening is None:  # what was held is forgotten
            layer.num_steps.copy_(before[layer]["num_steps"])
    return model


@torch.no_grad()
def _restore(layer: WhitenedLayer, buffers: dict[str, Tensor]) -> None:
    for name, buffer in layer.named_buffers():
        buffer.copy_(buffers[name])
    layer.read_schedule()
