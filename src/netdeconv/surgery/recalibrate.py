"""Running statistics from data, in place of those that training happened to leave."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from netdeconv.nn import InputStatistics, statistics_mode
from netdeconv.surgery.batches import Forward, calls
from netdeconv.surgery.notices import NothingChangedWarning, logger
from netdeconv.surgery.tree import evaluation_mode, refuse_meta


def recalibrate(model: nn.Module, batches: Iterable[Any], *, forward: Forward | None = None) -> nn.Module:
    """Compute the running statistics of all whitened layers and batch norms anew, as the average over the batches.

    They normalise with each batch's own statistics, as in training, so that every layer sees what it saw there; all
    else (dropout) is in evaluation mode. No gradient, no random numbers. A few batches are enough: after an epoch of
    training, running averages lag behind a network that still moves (docs/small-batches.md).

    Args:
        model: any module with whitened layers or batch norm; changed in place.
        batches: each a tensor, a tuple or list whose first element is the input, or a mapping of keyword
            arguments; anything, where ``forward`` is given.
        forward: runs the model on one batch, ``forward(model, batch)``, where calling it with the batch is not enough.

    Returns:
        The model. Every module has its mode, momentum and place in a freeze schedule back; a layer that no
        batch reached keeps its old statistics.

    Raises:
        TypeError: when ``batches`` is one batch instead of an iterable of them.
        ValueError: when the model is on the meta device, there is no batch, or one with too few samples for a layer.
            The statistics are then as before.

    Warns:
        NothingChangedWarning: when the model has no whitened layer and no batch norm.

    Example:
        >>> net = nn.Sequential(WhitenedLinear(4, 2))
        >>> int(recalibrate(net, [torch.randn(8, 4), torch.randn(8, 4)])[0].statistics.num_batches_tracked)
        2
    """
    refuse_meta(model)
    layers = {module: name for name, module in model.named_modules() if _has_statistics(module)}
    if not layers:
        warnings.warn("recalibrate changed nothing: no running statistics", NothingChangedWarning, stacklevel=2)
        return model
    before = {layer: {name: buffer.clone() for name, buffer in layer.named_buffers()} for layer in layers}
    runs = calls(batches, model, forward)
    with torch.no_grad(), evaluation_mode(model), statistics_mode(model, "average"), _equal_weights(layers):
        for layer in layers:
            layer.reset_running_stats()
            layer.train()
        try:
            for call in runs:
                call.run(model)
        except BaseException:
            for layer, buffers in before.items():
                _restore(layer, buffers)
            raise
    for layer, name in layers.items():
        buffers = before[layer]
        if not int(layer.num_batches_tracked):
            whose = name.removesuffix("statistics").removesuffix(".") if isinstance(layer, InputStatistics) else name
            logger.info("%s: no batch reached it, its statistics stay as they were", whose or "the model")
            _restore(layer, buffers)
        else:
            _restore(layer, {key: value for key, value in buffers.items() if key == "num_steps"})
    return model


@contextlib.contextmanager
def batch_statistics(model: nn.Module) -> Iterator[nn.Module]:
    """Evaluate with each batch's own statistics, as in training, and keep none of them.

    For as long as the context lasts, whitened layers, frozen ones too, and batch norms normalise with the statistics
    of the batch; all else is in evaluation mode. Buffers and modes are as before afterwards.

    Args:
        model: any module.

    Returns:
        A context manager that gives the model.

    Example:
        >>> with batch_statistics(nn.Sequential(WhitenedLinear(4, 2))) as net:
        ...     net(torch.randn(8, 4)).shape
        torch.Size([8, 2])
    """
    layers = [module for module in model.modules() if _has_statistics(module)]
    before = {layer: {name: buffer.clone() for name, buffer in layer.named_buffers()} for layer in layers}
    with evaluation_mode(model), statistics_mode(model, "batch"):
        for layer in layers:
            layer.train()
        try:
            yield model
        finally:
            for layer, buffers in before.items():
                _restore(layer, buffers)


def _has_statistics(module: nn.Module) -> bool:
    return isinstance(module, InputStatistics) or (isinstance(module, _BatchNorm) and module.track_running_stats)


@contextlib.contextmanager
def _equal_weights(layers: Iterable[nn.Module]) -> Iterator[None]:
    """Batch norms average all batches alike; their momentum is an attribute that torch reads."""
    momenta = {layer: layer.momentum for layer in layers if isinstance(layer, _BatchNorm)}
    try:
        for norm in momenta:
            norm.momentum = None
        yield
    finally:
        for norm, momentum in momenta.items():
            norm.momentum = momentum


@torch.no_grad()
def _restore(layer: nn.Module, buffers: dict[str, torch.Tensor]) -> None:
    for name, buffer in layer.named_buffers():
        if name in buffers:
            buffer.copy_(buffers[name])
