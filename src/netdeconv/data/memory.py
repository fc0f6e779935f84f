"""A data set held on the device as uint8, with batches cut and augmented there.

Shape letters: N samples, B batch, H height, W width, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from netdeconv.data.registry import Augmentation, DatasetInfo
from netdeconv.data.sources import RawImages


class InMemoryImages:
    """Images on a device; iterating gives normalised float32 batches (channels last in memory) and labels.

    Args:
        raw: images and labels.
        entry: mean and standard deviation for the normalisation.
        batch_size: images in a batch.
        device: where the images are kept.
    """

    def __init__(self, raw: RawImages, entry: DatasetInfo, *, batch_size: int, device: torch.device) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.images_NHWC = raw.images.to(device)
        self.labels_N = raw.labels.to(device)
        self.batch_size = batch_size
        self.device = device
        self._mean_C = torch.tensor(entry.mean, device=device) * 255
        self._scale_C = 1 / (torch.tensor(entry.std, device=device) * 255)

    @property
    def num_samples(self) -> int:
        """Images in the set."""
        return len(self.labels_N)

    def __len__(self) -> int:
        """Batches in one pass."""
        return -(-self.num_samples // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pass once over the images in their order, unchanged."""
        for start in range(0, self.num_samples, self.batch_size):
            part = slice(start, start + self.batch_size)
            yield self._normalise(self.images_NHWC[part]), self.labels_N[part]

    def _normalise(self, images_BHWC: Tensor) -> Tensor:
        return (images_BHWC.float() - self._mean_C).mul_(self._scale_C).permute(0, 3, 1, 2)


class TrainingImages(InMemoryImages):
    """Shuffled and augmented batches; an epoch depends on (seed, epoch) alone and can be replayed.

    The last batch of an epoch is left out when it holds less than half of ``batch_size``: statistics
    of a handful of images would disturb the others. The order changes, so others are left out next time.

    Args:
        augmentation: random changes; ``None`` for none.
        seed: starts every epoch's generator, together with the epoch's number.
        shard: this process's number and the number of processes that share an epoch.
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
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__(raw, entry, batch_size=batch_size, device=device)
        self.augmentation = augmentation
        self.seed = seed
        self._rank, self._world = shard

    def __len__(self) -> int:
        """Batches in one epoch."""
        mine = self.num_samples // self._world
        whole, rest = divmod(mine, self.batch_size)
        return whole + (1 if whole == 0 or rest * 2 >= self.batch_size else 0)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Pass once over the images, in the order and with the changes of this epoch."""
        order_N, top_N, left_N, flip_N = (
            chosen[self._rank :: self._world].to(self.device) for chosen in self._choose(epoch)
        )
        for number in range(len(self)):
            part = slice(number * self.batch_size, (number + 1) * self.batch_size)
            index_B = order_N[part]
            images_BHWC = self.images_NHWC[index_B]
            if self.augmentation is not None:
                images_BHWC = crop_and_flip(
                    images_BHWC, self.augmentation.padding, top_N[part], left_N[part], flip_N[part]
                )
            yield self._normalise(images_BHWC), self.labels_N[index_B]

    def _choose(self, epoch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # On the processor, so that every device sees the same epoch.
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        count = self.num_samples
        order_N = torch.randperm(count, generator=generator)
        if self.augmentation is None:
            nothing = torch.zeros(count, dtype=torch.int64)
            return order_N, nothing, nothing, nothing.bool()
        limit = 2 * self.augmentation.padding + 1
        top_N, left_N = torch.randint(limit, (2, count), generator=generator)
        flip_N = torch.rand(count, generator=generator) < (0.5 if self.augmentation.flip else 0.0)
        return order_N, top_N, left_N, flip_N


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
