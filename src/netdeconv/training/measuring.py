"""Evaluations: on which statistics, of which weights, and what counts as divergence."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from netdeconv.data import EvaluationData, Splits
from netdeconv.surgery import NothingChangedWarning, batch_statistics, check_finite, recalibrate
from netdeconv.training.config import TrainingConfig
from netdeconv.training.devices import mean_over_processes
from netdeconv.training.task import Meter

# No network that has learned anything has such a loss: a float32 logit of it has no digits after the point left.
_DIVERGED = 1e9


@torch.no_grad()
def evaluate(model: Callable[[Tensor], Any], data: EvaluationData, meter: Meter) -> dict[str, Any]:
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


def in_float32(network: Callable[[Tensor], Any], inputs: Tensor) -> Any:
    """Return a network's outputs, whatever precision they were computed in."""
    outputs = network(inputs)
    return {key: value.float() for key, value in outputs.items()} if isinstance(outputs, dict) else outputs.float()


@dataclasses.dataclass(frozen=True)
class Measuring:
    """Measures the network of a run.

    Args:
        config: the settings.
        data: of the run.
        fabric: device, precision and processes.
        network: the trained one, or the average of its weights.
    """

    config: TrainingConfig
    data: Splits
    fabric: Fabric
    network: nn.Module

    def evaluate(self, epoch: int) -> dict[str, Any]:
        """Return what the task's meter says after an epoch.

        Raises:
            FloatingPointError: when the loss is NaN, infinite or astronomic.
        """
        more: dict[str, Any] = {}
        if self.config.evaluate_all_statistics:
            with batch_statistics(self.network):
                more |= self._measure("_batch_statistics")
            self.network.eval()
            more |= self._measure("_running_statistics")
        self._recalibrate(epoch)
        self.network.eval()
        measured = self._measure("")
        if has_diverged(measured["loss"]):
            raise FloatingPointError(
                f"the {self.data.evaluated_on} loss is {measured['loss']:.4g} after epoch {epoch}: "
                "the run has diverged; a lower learning rate may help"
            )
        return measured | finite(more)

    def _measure(self, suffix: str) -> dict[str, Any]:
        """What the meter says of the evaluation data, with the network in the mode it is in."""
        meter = self.config.task.meter(self.data.info.num_classes, self.fabric.device)
        checked = check_finite(self.network) if self.config.check_finite else contextlib.nullcontext()
        with self.fabric.autocast(), checked:
            measured = evaluate(functools.partial(in_float32, self.network), self.data.evaluation, meter)
        return {f"{name}{suffix}": value for name, value in measured.items()}

    def _recalibrate(self, epoch: int) -> None:
        """Statistics of the network as it is now: running averages are of one that was still moving."""
        if not self.config.recalibration or not any(True for _ in self.network.buffers()):
            return
        batches = itertools.islice(self.data.train.epoch(epoch), self.config.recalibration)
        with self.fabric.autocast(), warnings.catch_warnings():
            warnings.simplefilter("ignore", NothingChangedWarning)  # a network without any normalisation
            recalibrate(self.network, (inputs for inputs, _ in batches))
        share_statistics(self.network, self.fabric)


@torch.no_grad()
def share_statistics(network: nn.Module, fabric: Fabric) -> None:
    """Average over the processes what each has averaged over its own batches."""
    if fabric.world_size == 1:
        return
    for buffer in network.buffers():
        if buffer.is_floating_point() and buffer.numel():
            buffer.copy_(mean_over_processes(fabric, buffer.clone()))
