"""Evaluations: on which statistics, of which weights, and what counts as divergence."""

from __future__ import annotations

import contextlib
import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from netdeconv.data.batches import EvaluationData
from netdeconv.data.splits import Splits
from netdeconv.surgery import NothingChangedWarning, batch_statistics, check_finite, recalibrate
from netdeconv.training.config import TrainingConfig

# No network that has learned anything has such a loss: a float32 logit of it has no digits after the point left.
_DIVERGED = 1e9


@torch.no_grad()
def evaluate(model: Callable[[Tensor], Any], data: EvaluationData, meter: Any) -> dict[str, Any]:
    """Run the network over all batches, in the mode it is in, and return what the task's meter measured."""
    for inputs, targets in data:
        meter.update(in_float32(model(inputs)), targets)
    measured: dict[str, Any] = meter.compute()
    return measured


def in_float32(outputs: Any) -> Any:
    """Return a network's outputs, whatever precision they were computed in."""
    return {key: value.float() for key, value in outputs.items()} if isinstance(outputs, dict) else outputs.float()


def finite(measured: dict[str, Any]) -> dict[str, Any]:
    """Return the measurements with ``None`` for NaN and infinity, which JSON does not have."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in measured.items()
    }


def measure(config: TrainingConfig, data: Splits, fabric: Fabric, network: nn.Module, epoch: int) -> dict[str, Any]:
    """Return what the task's meter says of a run's network after an epoch.

    Args:
        config: the settings.
        data: of the run.
        fabric: device, precision and processes.
        network: the trained one, or the average of its weights.
        epoch: whose training images statistics are taken of anew.

    Raises:
        FloatingPointError: when the loss is NaN, infinite or astronomic.
    """

    def measured() -> dict[str, Any]:
        meter = config.task.meter(data.info.num_classes, fabric.device)
        with fabric.autocast(), check_finite(network) if config.check_finite else contextlib.nullcontext():
            return evaluate(network, data.evaluation, meter)

    others: dict[str, dict[str, Any]] = {}
    if config.evaluate_all_statistics:
        with batch_statistics(network):
            others["batch"] = measured()
        network.eval()
        others["running"] = measured()
    if config.recalibration and any(True for _ in network.buffers()):
        # Statistics of the network as it is now: running averages are of one that was still moving.
        batches = itertools.islice(data.train.epoch(epoch), config.recalibration)
        with fabric.autocast(), warnings.catch_warnings():
            warnings.simplefilter("ignore", NothingChangedWarning)  # a network without any normalisation
            recalibrate(network, (inputs for inputs, _ in batches))
        share_statistics(network, fabric)
    network.eval()
    found = measured()
    if not abs(found["loss"]) <= _DIVERGED:
        raise FloatingPointError(
            f"the {data.evaluated_on} loss is {found['loss']:.4g} after epoch {epoch}: "
            "the run has diverged; a lower learning rate may help"
        )
    return found | {f"{k}_{kind}_statistics": v for kind, other in others.items() for k, v in finite(other).items()}


@torch.no_grad()
def share_statistics(network: nn.Module, fabric: Fabric) -> None:
    """Average over the processes what each has averaged over its own batches."""
    for buffer in network.buffers():
        if fabric.world_size > 1 and buffer.is_floating_point() and buffer.numel():
            buffer.copy_(fabric.all_reduce(buffer.clone()))  # type: ignore[arg-type]
