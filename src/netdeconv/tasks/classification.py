"""Image classification: cross entropy or squared error, top-1 and top-5 accuracy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from netdeconv.data import DataConfig, Splits, open_splits
from netdeconv.lookup import look_up
from netdeconv.training.config import NetworkConfig
from netdeconv.training.network import build_network


def as_shares(targets: Tensor, num_classes: int) -> Tensor:
    """Return targets as shares of the classes (N, classes): labels become one-hot rows."""
    return functional.one_hot(targets, num_classes).float() if targets.ndim == 1 else targets


def cross_entropy(outputs: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the mean cross entropy against labels (N,) or shares (N, classes)."""
    return functional.cross_entropy(outputs, targets, label_smoothing=smoothing)


def squared_error(outputs: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the mean squared error against one-hot targets or shares, the paper's ``L2`` loss."""
    shares = as_shares(targets, outputs.shape[1])
    return functional.mse_loss(outputs, torch.lerp(shares, torch.full_like(shares, 1 / shares.shape[1]), smoothing))


LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {"CE": cross_entropy, "L2": squared_error}
# With fewer classes the best five say nothing.
_TOP5_FROM = 11


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classification:
    """One label an image.

    Args:
        loss: ``"CE"``, cross entropy, or ``"L2"``, squared error against one-hot targets.
        label_smoothing: share of every training target that is spread over all classes.
        mixup: parameter of the Beta distribution from which the shares of two mixed training images are
            drawn; 0 mixes none. Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such loss.
        ValueError: when a number is out of range.
    """

    name: ClassVar[str] = "classification"
    metric: ClassVar[str] = "accuracy"
    loss: str = "CE"
    label_smoothing: float = 0.0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        look_up("loss", self.loss, LOSSES)
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}")
        if self.mixup < 0:
            raise ValueError(f"mixup must not be negative, got {self.mixup}")

    def open(self, config: DataConfig, *, seed: int, device: torch.device, shard: tuple[int, int] = (0, 1)) -> Splits:
        """Return this process's share of the images."""
        return open_splits(config, seed=seed, device=device, shard=shard)

    def build_network(self, config: NetworkConfig, info: Any) -> nn.Module:
        """Return the network of the settings."""
        return build_network(config, info)

    def mix(self, inputs: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Mix every image and its label with those of another one of the batch, when that was asked for."""
        if self.mixup == 0:
            return inputs, targets
        from torchvision.transforms import v2  # only when it is needed: importing it takes a second

        return v2.MixUp(alpha=self.mixup, num_classes=num_classes)(inputs, targets)

    def compute_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean training loss of a batch."""
        return LOSSES[self.loss](outputs, targets, self.label_smoothing)

    def meter(self, num_classes: int, device: torch.device) -> ClassificationMeter:
        """Return an empty meter of top-1 accuracy and mean loss, and of top-5 where there are many classes."""
        return ClassificationMeter(self, num_classes, device)


class ClassificationMeter:
    """Top-1 accuracy in per cent and mean loss, without smoothing, over batches of any sizes."""

    def __init__(self, task: Classification, num_classes: int, device: torch.device) -> None:
        self._loss_of = LOSSES[task.loss]
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
