"""What the training loop needs of data, and a part of it for a first look."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Protocol

from torch import Tensor

from netdeconv.data.augment import Colours


class DataInfo(Colours, Protocol):
    """What the loop and a network need to know of a data set; tasks know more."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""

    @property
    def num_classes(self) -> int:
        """Classes of a label."""


class TrainingData(Protocol):
    """Batches to learn from."""

    def __len__(self) -> int:
        """Steps of an epoch, the same number in every process."""

    def epoch(self, epoch: int, /) -> Iterator[tuple[Tensor, Tensor]]:
        """Pass once over the data, as it is in this epoch: inputs and targets, on the device."""


class EvaluationData(Protocol):
    """Batches to be measured on: this process's part, no sample twice."""

    def __len__(self) -> int:
        """Batches of this process."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pass once over the data: inputs and targets, on the device."""


@dataclasses.dataclass(frozen=True)
class Splits:
    """Training data, evaluation data, and which part of the data set the latter are."""

    info: DataInfo
    train: TrainingData
    evaluation: EvaluationData
    evaluated_on: str

    def first(self, batches: int | None) -> Splits:
        """Return at most so many batches of every epoch and of every evaluation; ``None``: all."""
        if batches is None:
            return self
        return dataclasses.replace(self, train=_First(self.train, batches), evaluation=_First(self.evaluation, batches))


@dataclasses.dataclass(frozen=True)
class _First:
    """The first batches of every epoch, or of every pass."""

    data: TrainingData | EvaluationData
    limit: int

    def __len__(self) -> int:
        return min(len(self.data), self.limit)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Begin one epoch."""
        return itertools.islice(self.data.epoch(epoch), self.limit)  # type: ignore[union-attr]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return itertools.islice(iter(self.data), self.limit)  # type: ignore[arg-type]
