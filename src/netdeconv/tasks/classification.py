"""Image classification: cross entropy or squared error, top-1 accuracy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from netdeconv.data import DataConfig, Splits, open_splits
from netdeconv.lookup import look_up


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error against one-hot targets, the paper's ``L2`` loss."""
    return functional.mse_loss(outputs, functional.one_hot(targets, outputs.shape[1]).to(outputs.dtype))


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"CE": functional.cross_entropy, "L2": squared_error}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classification:
    """One label an image.

    Args:
        loss: ``"CE"``, cross entropy, or ``"L2"``, squared error against one-hot targets.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such loss.
    """

    name: ClassVar[str] = "classification"
    loss: str = "CE"

    def __post_init__(self) -> None:
        look_up("loss", self.loss, LOSSES)

    def open(self, config: DataConfig, *, seed: int, device: torch.device) -> Splits:
        """Return the images in the device's memory."""
        return open_splits(config, seed=seed, device=device)

    def compute_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        return LOSSES[self.loss](outputs, targets)

    def meter(self, num_classes: int, device: torch.device) -> ClassificationMeter:
        """Return an empty meter of top-1 accuracy and mean loss."""
        return ClassificationMeter(self, num_classes, device)


class ClassificationMeter:
    """Top-1 accuracy in per cent and mean loss over batches of any sizes."""

    def __init__(self, task: Classification, num_classes: int, device: torch.device) -> None:
        self._task = task
        # The batches' sizes weigh the losses, so that the last, smaller one counts for what it is.
        self._loss = MeanMetric().to(device)
        self._accuracy = MulticlassAccuracy(num_classes, average="micro", validate_args=False).to(device)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take one batch of class scores (N, classes) and labels (N,)."""
        self._loss.update(self._task.compute_loss(outputs, targets), weight=len(targets))
        self._accuracy.update(outputs, targets)

    def compute(self) -> dict[str, float]:
        """Return ``loss`` and ``accuracy``."""
        return {
            "loss": float(self._loss.compute()),
            "accuracy": round(100 * float(self._accuracy.compute()), 4),
        }
