"""Measuring a network on an evaluation set."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from netdeconv.data import EvaluationData
from netdeconv.training.task import Meter

# No network that has learned anything has such a loss: a float32 logit of it has no digits after the point left.
_DIVERGED = 1e9


@torch.no_grad()
def evaluate(model: Callable[[Tensor], Tensor], data: EvaluationData, meter: Meter) -> dict[str, Any]:
    """Run the network over all batches, in the mode it is in, and return what the meter measured."""
    for inputs, targets in data:
        meter.update(model(inputs), targets)
    return meter.compute()


def has_diverged(loss: float) -> bool:
    """Whether an evaluation's loss says that the network is of no use: NaN, infinite, or astronomic."""
    return not math.isfinite(loss) or abs(loss) > _DIVERGED


def finite(measured: dict[str, Any]) -> dict[str, Any]:
    """Return the measurements with ``None`` for NaN and infinity, which JSON does not have."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in measured.items()
    }
