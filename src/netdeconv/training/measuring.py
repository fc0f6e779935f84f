"""Evaluations within a run: on which statistics, of which weights, and what counts as divergence."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Callable
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from netdeconv.data import Splits
from netdeconv.surgery import NothingChangedWarning, batch_statistics, check_finite, recalibrate
from netdeconv.training.config import TrainingConfig
from netdeconv.training.devices import mean_over_processes
from netdeconv.training.evaluation import evaluate, finite, has_diverged


class Measuring:
    """Measures the network of a run, or the average of its weights.

    Args:
        config: the settings.
        data: of the run.
        fabric: device, precision and processes.
        network: that is trained.
        model: the same, as Fabric wraps it.
        average: of the weights, which is then what is measured.
    """

    def __init__(
        self,
        config: TrainingConfig,
        data: Splits,
        fabric: Fabric,
        network: nn.Module,
        model: Callable[[Tensor], Any],
        average: AveragedModel | None,
    ) -> None:
        self._config, self._data, self._fabric = config, data, fabric
        self._trained = network
        self._network: nn.Module = network if average is None else average.module
        self._forward = model if average is None else self._forward_average

    def evaluate(self, epoch: int) -> dict[str, Any]:
        """Return what the task's meter says after an epoch.

        Raises:
            FloatingPointError: when the loss is NaN, infinite or astronomic.
        """
        self._share_statistics(self._trained)
        more: dict[str, Any] = {}
        if self._config.evaluate_all_statistics:
            with batch_statistics(self._network):
                more |= self._measure("_batch_statistics")
            self._network.eval()
            more |= self._measure("_running_statistics")
        self._recalibrate(epoch)
        self._network.eval()
        measured = self._measure("")
        if has_diverged(measured["loss"]):
            raise FloatingPointError(
                f"the {self._data.evaluated_on} loss is {measured['loss']:.4g} after epoch {epoch}: "
                "the run has diverged; a lower learning rate may help"
            )
        return measured | finite(more)

    def _measure(self, suffix: str) -> dict[str, Any]:
        """What the meter says of the evaluation data, with the network in the mode it is in."""
        meter = self._config.task.meter(self._data.info.num_classes, self._fabric.device)
        with check_finite(self._network) if self._config.check_finite else contextlib.nullcontext():
            measured = evaluate(self._forward, self._data.evaluation, meter)
        return {f"{name}{suffix}": value for name, value in measured.items()}

    def _recalibrate(self, epoch: int) -> None:
        """Statistics of the network as it is now: running averages are of one that was still moving."""
        if not self._config.recalibration or not any(True for _ in self._network.buffers()):
            return
        batches = itertools.islice(self._data.train.epoch(epoch), self._config.recalibration)
        with self._fabric.autocast(), warnings.catch_warnings():
            warnings.simplefilter("ignore", NothingChangedWarning)  # a network without any normalisation
            recalibrate(self._network, (inputs for inputs, _ in batches))
        self._share_statistics(self._network)

    def _forward_average(self, inputs: Tensor) -> Any:
        """The averaged network in the run's precision; Fabric wraps only the trained one."""
        with self._fabric.autocast():
            outputs = self._network(inputs)
        return {key: value.float() for key, value in outputs.items()} if isinstance(outputs, dict) else outputs.float()

    @torch.no_grad()
    def _share_statistics(self, network: nn.Module) -> None:
        """Average over the processes what each has averaged over its own batches."""
        if self._fabric.world_size == 1:
            return
        for buffer in network.buffers():
            if buffer.is_floating_point() and buffer.numel():
                buffer.copy_(mean_over_processes(self._fabric, buffer.clone()))
