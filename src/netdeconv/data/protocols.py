"""What the training loop needs of data, and a part of it for a first look."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Protocol

from torch import Tensor


class DataInfo(Protocol):
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


class FirstSteps:
    """The first steps of every epoch.

    Args:
        data: all of it.
        limit: steps at most.
    """

    def __init__(self, data: TrainingData, limit: int) -> None:
        self._data, self._limit = data, limit

    def __len__(self) -> int:
        return min(len(self._data), self._limit)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Begin one epoch."""
        return itertools.islice(self._data.epoch(epoch), self._limit)


class FirstBatches:
    """The first batches of every pass.

    Args:
        data: all of it.
        limit: batches at most.
    """

    def __init__(self, data: EvaluationData, limit: int) -> None:
        self._data, self._limit = data, limit

    def __len__(self) -> int:
        return min(len(self._data), self._limit)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return itertools.islice(iter(self._data), self._limit)
