"""What the training loop needs to know of a task."""

from __future__ import annotations

from typing import ClassVar, Protocol

import torch
from torch import Tensor

from netdeconv.data import DataConfig, Splits


class Meter(Protocol):
    """Collects an evaluation's batches."""

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take one batch."""

    def compute(self) -> dict[str, float]:
        """Return ``loss``, ``accuracy`` and what else the task measures."""


class Task(Protocol):
    """A frozen dataclass that says what is learned and how it is measured."""

    name: ClassVar[str]

    def open(self, config: DataConfig, *, seed: int, device: torch.device) -> Splits:
        """Return the data."""

    def compute_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch."""

    def meter(self, num_classes: int, device: torch.device) -> Meter:
        """Return an empty meter."""
