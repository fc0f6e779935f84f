"""A data set held on the device as uint8, with batches cut and augmented there.

Shape letters: N samples, B batch, H height, W width, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from netdeconv.data.cutout import cut_out
from netdeconv.data.entry import Augmentation, DatasetInfo
from netdeconv.data.normalise import Normalise
from netdeconv.data.shards import Shard, count_steps, local_batch_size, share
from netdeconv.data.sources import RawImages


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
        self,
        raw: RawImages,
        entry: DatasetInfo,
        *,
        batch_size: int,
        device: torch.device,
        shard: Shard = (0, 1),
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
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
        for start in range(0, self.num_samples, self.batch_size):
            part = slice(start, start + self.batch_size)
            yield self._normalise(self.images_NHWC[part]), self.labels_N[part]


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

    Every process holds all images, as any of them may be its own in the next epoch. Which batches there
    are does not depend on the number of processes: each takes an equal part of every batch
    (:mod:`netdeconv.data.shards`).

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
        mine = Changes(*(share(chosen_N, self._shard).to(self.device) for chosen_N in self._choose(epoch)))
        for number in range(len(self)):
            part = slice(number * self.batch_size, (number + 1) * self.batch_size)
            now = Changes(*(chosen_N[part] for chosen_N in mine))
            images_BHWC = self.images_NHWC[now.image]
            if self.augmentation is not None:
                images_BHWC = crop_and_flip(images_BHWC, self.augmentation.padding, now.top, now.left, now.flip)
            images_BCHW = self._normalise(images_BHWC)
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


def crop_and_flip(images_BHWC: Tensor, padding: int, top_B: Tensor, left_B: Tensor, flip_B: Tensor) -> Tensor:
    """Pad each image with zeros, cut an image-sized window out of it, and mirror some.

    Args:
        images_BHWC: the images.
        padding: zero pixels on every side.
        top_B: first row of each window in the padded image.
        left_B: first column of each window in the padded image.
        flip_B: which windows are mirrored.
    """
    height, width = images_BHWC.shape[1:3]
    padded = torch.nn.functional.pad(images_BHWC, (0, 0, padding, padding, padding, padding))
    device = images_BHWC.device
    rows_BH = top_B[:, None] + torch.arange(height, device=device)
    columns_BW = torch.arange(width, device=device).expand(len(images_BHWC), width)
    columns_BW = left_B[:, None] + torch.where(flip_B[:, None], width - 1 - columns_BW, columns_BW)
    sample_B = torch.arange(len(images_BHWC), device=device)
    return padded[sample_B[:, None, None], rows_BH[:, :, None], columns_BW[:, None, :]]
