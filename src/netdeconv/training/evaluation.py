"""Measuring a network on an evaluation set."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from netdeconv.data import EvaluationData
from netdeconv.training.task import Meter


@torch.no_grad()
def evaluate(model: Callable[[Tensor], Tensor], data: EvaluationData, meter: Meter) -> dict[str, float]:
    """Run the network over all batches, in the mode it is in, and return what the meter measured."""
    for inputs, targets in data:
        meter.update(model(inputs), targets)
    return meter.compute()
