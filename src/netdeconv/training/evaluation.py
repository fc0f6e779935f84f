"""Measuring a network on an evaluation set, with running or with batch statistics."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from netdeconv.data import EvaluationData
from netdeconv.nn import WhitenedLayer
from netdeconv.training.task import Meter


@torch.no_grad()
def evaluate(model: Callable[[Tensor], Tensor], data: EvaluationData, meter: Meter) -> dict[str, float]:
    """Run the network over all batches, in the mode it is in, and return what the meter measured."""
    for inputs, targets in data:
        meter.update(model(inputs), targets)
    return meter.compute()


@contextlib.contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Let normalising layers use each batch's own statistics, as in training, and forget what they saw.

    The other layers are in evaluation mode. Buffers and modes are as before afterwards.
    """
    modes = {module: module.training for module in model.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    settings = {module: module.whitening for module in modes if isinstance(module, WhitenedLayer)}
    for layer, own in settings.items():
        layer.whitening = dataclasses.replace(
            own, refresh_interval=1
        )  # every batch's own, and the schedule stands still
    for module in modes:
        module.train(_normalises(module))
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for layer, own in settings.items():
            layer.whitening = own
        # Parents come before their children, whose own mode thus has the last word.
        for module, training in modes.items():
            module.train(training)


def _normalises(module: nn.Module) -> bool:
    return isinstance(module, (WhitenedLayer, _BatchNorm))
