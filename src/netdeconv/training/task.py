"""What the training loop needs to know of a task."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from netdeconv.data import DataConfig, Splits
    from netdeconv.training.config import NetworkConfig


class Meter(Protocol):
    """Collects an evaluation's batches; over several processes it sums by itself."""

    def update(self, outputs: Any, targets: Tensor) -> None:
        """Take one batch."""

    def compute(self) -> dict[str, Any]:
        """Return ``loss``, ``accuracy`` and what else the task measures: numbers, or lists of them."""


class Task(abc.ABC):
    """A frozen dataclass that says what is learned and how it is measured."""

    name: ClassVar[str]
    metric: ClassVar[str]
    """Key of the headline score in per cent; higher is better."""

    @abc.abstractmethod
    def open(self, config: DataConfig, *, seed: int, device: torch.device, shard: tuple[int, int]) -> Splits:
        """Return this process's share of the data: process number and number of processes."""

    @abc.abstractmethod
    def build_network(self, config: NetworkConfig, info: Any) -> nn.Module:
        """Return the network of the settings, initialised from torch's global generator."""

    @abc.abstractmethod
    def mix(self, inputs: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Return a training batch as it is to be learned; random choices come from torch's global generator."""

    @abc.abstractmethod
    def compute_loss(self, outputs: Any, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch."""

    @abc.abstractmethod
    def meter(self, num_classes: int, device: torch.device) -> Meter:
        """Return an empty meter."""
