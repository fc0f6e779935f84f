"""A data set held on the device as uint8, with batches cut and augmented there.

Shape letters: N samples, B batch, H height, W width, C channels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from netdeconv.data.augment import Normalise, crop_and_flip, cut_out
from netdeconv.data.registry import Augmentation, DatasetInfo
from netdeconv.data.shards import Shard, count_steps, local_batch_size, share


@dataclasses.dataclass(frozen=True)
class RawImages:
    """A data set as it is read: images uint8 (N, H, W, C) and labels int64 (N,)."""

    images: Tensor
    labels: Tensor

    def part(self, index: Tensor) -> RawImages:
        """Return some of the images."""
        return RawImages(self.images[index], self.labels[index])


class InMemoryImages:
    """Images on a device; iterating gives normalised float32 batches (channels last in memory) and labels.

    Args:
        raw: images and labels of all processes.
        entry: mean and standard deviation for the normalisation.
        batch_size: images in a batch of one process.
        device: where the images are kept.
        shard: this process's number and the number of processes that share the images: each keeps every
            ``world``-th, so that processes may have different numbers of them.
    """

    def __init__(
        self, raw: RawImages, entry: DatasetInfo, *, batch_size: int, device: torch.device, shard: Shard = (0, 1)
    ) -> None:
        rank, world = shard
        self.images_NHWC = raw.images[rank::world].to(device)
        self.labels_N = raw.labels[rank::world].to(device)
        self.batch_size = batch_size
        self.device = device
        self._normalise = Normalise(entry, device)

    @property
    def num_samples(self) -> int:
        """Images that this process holds."""
        return len(self.labels_N)

    def __len__(self) -> int:
        """Batches in one pass."""
        return -(-self.num_samples // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pass once over the images in their order, unchanged."""
        for images_BHWC, labels_B in zip(
            self.images_NHWC.split(self.batch_size), self.labels_N.split(self.batch_size), strict=True
        ):
            yield self._normalise(images_BHWC.permute(0, 3, 1, 2)), labels_B


class Changes(NamedTuple):
    """What an epoch does with each of its images, in the order of the epoch: tensors (N,)."""

    image: Tensor
    top: Tensor
    left: Tensor
    flip: Tensor
    hole_row: Tensor
    hole_column: Tensor


class TrainingImages(InMemoryImages):
    """Shuffled and augmented batches; an epoch depends on (seed, epoch) alone and can be replayed.

    Every process holds all images, as any of them may be its own in the next epoch. Which batches there are does
    not depend on the number of processes: each takes an equal part of every batch (:mod:`netdeconv.data.shards`).

    Args:
        batch_size: images of the whole batch, all processes together.
        augmentation: random changes; ``None`` for none.
        seed: starts every epoch's generator, together with the epoch's number.
        shard: this process's number and the number of processes that share an epoch.

    Raises:
        ValueError: when the batch or the images cannot be shared by the processes.
    """

    def __init__(
        self,
        raw: RawImages,
        entry: DatasetInfo,
        *,
        batch_size: int,
        device: torch.device,
        augmentation: Augmentation | None,
        seed: int,
        shard: Shard = (0, 1),
    ) -> None:
        super().__init__(raw, entry, batch_size=local_batch_size(batch_size, shard), device=device)
        self.augmentation = augmentation
        self.seed = seed
        self._shard = shard
        self._steps = count_steps(self.num_samples, batch_size, shard)

    def __len__(self) -> int:
        """Batches in one epoch."""
        return self._steps

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Pass once over the images, in the order and with the changes of this epoch."""
        mine = (share(chosen_N, self._shard).to(self.device).split(self.batch_size) for chosen_N in self._choose(epoch))
        for now in map(Changes._make, list(zip(*mine, strict=True))[: self._steps]):
            images_BHWC = self.images_NHWC[now.image]
            if self.augmentation is not None:
                images_BHWC = crop_and_flip(images_BHWC, self.augmentation.padding, now.top, now.left, now.flip)
            images_BCHW = self._normalise(images_BHWC.permute(0, 3, 1, 2))
            if self.augmentation is not None and self.augmentation.cutout:
                cut_out(images_BCHW, self.augmentation.cutout, now.hole_row, now.hole_column)
            yield images_BCHW, self.labels_N[now.image]

    def _choose(self, epoch: int) -> Changes:
        # On the processor, so that every device sees the same epoch.
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        count = self.num_samples
        index_N = torch.randperm(count, generator=generator)
        nothing = torch.zeros(count, dtype=torch.int64)
        if self.augmentation is None:
            return Changes(index_N, nothing, nothing, nothing.bool(), nothing, nothing)
        limit = 2 * self.augmentation.padding + 1
        top_N, left_N = torch.randint(limit, (2, count), generator=generator)
        flip_N = torch.rand(count, generator=generator) < (0.5 if self.augmentation.flip else 0.0)
        # Drawn last, so that the crops are the same with and without holes.
        hole_row_N, hole_column_N = (
            torch.randint(side, (count,), generator=generator) if self.augmentation.cutout else nothing
            for side in self.images_NHWC.shape[1:3]
        )
        return Changes(index_N, top_N, left_N, flip_N, hole_row_N, hole_column_N)
