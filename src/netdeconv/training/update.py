"""One update of the weights, from one batch."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from netdeconv.surgery import check_finite
from netdeconv.training.config import TrainingConfig


class Update:
    """What a run does with a batch: mixing, gradients of its parts, clipping, a step, the average of the weights.

    Args:
        config: the settings.
        model: the network as Fabric set it up.
        optimizer: of its parameters.
        average: of its weights, moved along.
        fabric: device, precision and processes.
        num_classes: of the data.
    """

    def __init__(
        self,
        config: TrainingConfig,
        model: Any,
        optimizer: torch.optim.Optimizer,
        average: AveragedModel | None,
        fabric: Fabric,
        num_classes: int,
    ) -> None:
        self.config, self.model, self.average, self.fabric = config, model, average, fabric
        self.optimizer: Any = fabric.setup_optimizers(optimizer)
        self.num_classes = num_classes

    def __call__(self, inputs: Tensor, targets: Tensor, rate: float) -> Tensor:
        """Update the weights once, at a learning rate; return the mean loss of the batch, on the device."""
        for group in self.optimizer.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._gradients(*self.config.task.mix(inputs, targets, self.num_classes))
        if self.config.optimizer.clip_norm is not None:
            self.fabric.clip_gradients(self.model, self.optimizer, max_norm=self.config.optimizer.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model.module)
        return loss

    def _gradients(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Backward through each part of the batch; return the loss of all."""
        parts = min(self.config.accumulation, len(targets))
        losses = []
        pairs = zip(inputs.tensor_split(parts), targets.tensor_split(parts), strict=True)
        for number, (some, their) in enumerate(pairs, 1):
            with self.fabric.no_backward_sync(self.model, enabled=number < parts):
                with check_finite(self.model.module) if self.config.check_finite else contextlib.nullcontext():
                    outputs = self.model(some)
                loss = self.config.task.compute_loss(outputs, their) * (len(their) / len(targets))
                self.fabric.backward(loss)
            losses.append(loss.detach())
        return torch.stack(losses).sum()


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential average of the network's weights that starts at their values now."""
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    average.update_parameters(model)
    return average


def require_finite(losses: list[float], first: int, epoch: int) -> None:
    """Make sure of the losses of some steps of an epoch, the first of which has this number.

    Raises:
        FloatingPointError: with the step and the epoch.
    """
    for step, loss in enumerate(losses, first):
        if not math.isfinite(loss):
            advice = "before any update of the weights" if step == epoch == 1 else "a lower learning rate may help"
            raise FloatingPointError(
                f"the training loss is {loss} at step {step} of epoch {epoch}; {advice}: --check-finite True names "
                "the layer where it begins"
            )
