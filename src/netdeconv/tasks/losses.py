"""Losses of classification by name, and the meter of its scores."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy


def cross_entropy(outputs: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the mean cross entropy against labels (N,) or shares (N, classes)."""
    return functional.cross_entropy(outputs, targets, label_smoothing=smoothing)


def squared_error(outputs: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the mean squared error against one-hot targets or shares, the paper's ``L2`` loss."""
    shares = functional.one_hot(targets, outputs.shape[1]).float() if targets.ndim == 1 else targets
    return functional.mse_loss(outputs, torch.lerp(shares, torch.full_like(shares, 1 / shares.shape[1]), smoothing))


LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {"CE": cross_entropy, "L2": squared_error}
# With fewer classes the best five say nothing.
_TOP5_FROM = 11


class ClassificationMeter:
    """Top-1 accuracy in per cent and mean loss, without smoothing, over batches of any sizes."""

    def __init__(self, loss: str, num_classes: int, device: torch.device) -> None:
        self._loss_of = LOSSES[loss]
        # The batches' sizes weigh the losses, so that the last, smaller one counts for what it is.
        self._loss = MeanMetric().to(device)
        counted = {"accuracy": 1, **({"accuracy_top5": 5} if num_classes >= _TOP5_FROM else {})}
        self._accuracies = {
            name: MulticlassAccuracy(num_classes, top_k=count, average="micro", validate_args=False).to(device)
            for name, count in counted.items()
        }

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take one batch of class scores (N, classes) and labels (N,)."""
        self._loss.update(self._loss_of(outputs, targets, 0.0), weight=len(targets))
        for accuracy in self._accuracies.values():
            accuracy.update(outputs, targets)

    def compute(self) -> dict[str, float]:
        """Return ``loss``, ``accuracy`` and perhaps ``accuracy_top5``."""
        accuracies = {name: round(100 * float(own.compute()), 4) for name, own in self._accuracies.items()}
        return {"loss": float(self._loss.compute()), **accuracies}
