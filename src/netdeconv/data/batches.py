"""Batches of a run: which images each has, how they are varied, and which process gets them.

An epoch depends on (seed, number) alone and can be replayed: neither the number of processes nor that of loader
processes changes an image, or which batch it is in. A batch is cut over the processes into equal parts.

Shape letters: N images of an epoch, B batch, C channels, H height, W width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from netdeconv.data.loader import Loader
from netdeconv.data.memory import RawImages
from netdeconv.data.registry import DatasetInfo

# This process's number, and the number of processes.
Shard = tuple[int, int]


class HeldImages:
    """Images kept on a device as bytes, cropped and mirrored there, a batch at once.

    Args:
        raw: images and labels.
        device: where they are kept.
        augmentation: the data set, whose ``padding`` and ``flip`` say how images are varied; ``None``: not at all.
    """

    def __init__(self, raw: RawImages, *, device: torch.device, augmentation: DatasetInfo | None = None) -> None:
        self.device, self._augmentation = device, augmentation
        self._images_NHWC, self._labels_N = raw.images.to(device), raw.labels.to(device)

    def draw(self, count: int, generator: torch.Generator) -> Sequence[Tensor]:
        """Return for ``count`` images the first row and column of their windows, and whether they are mirrored."""
        if self._augmentation is None:
            return ()
        top_N, left_N = torch.randint(2 * self._augmentation.padding + 1, (2, count), generator=generator)
        flip_N = torch.rand(count, generator=generator) < (0.5 if self._augmentation.flip else 0.0)
        return top_N, left_N, flip_N

    def load(self, plan: Iterable[Sequence[Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Return images uint8 (B, C, H, W) and labels, by their numbers and what was drawn for them."""
        for batch in plan:
            index_B, *drawn = (each.to(self.device) for each in batch)
            images_BHWC = self._images_NHWC[index_B]
            if self._augmentation is not None:
                images_BHWC = crop_and_flip(images_BHWC, self._augmentation.padding, *drawn)
            yield images_BHWC.permute(0, 3, 1, 2), self._labels_N[index_B]


def crop_and_flip(images_BHWC: Tensor, padding: int, top_B: Tensor, left_B: Tensor, flip_B: Tensor) -> Tensor:
    """Pad each image with zeros, cut an image-sized window out of it at (top, left), and mirror some.

    torchvision's transforms draw one window for a whole batch, and take longer than a step when called for each image.
    """
    count, height, width = images_BHWC.shape[:3]
    padded = functional.pad(images_BHWC, (0, 0, padding, padding, padding, padding))
    device = images_BHWC.device
    rows_BH = top_B[:, None] + torch.arange(height, device=device)
    columns_BW = torch.arange(width, device=device).expand(count, width)
    columns_BW = left_B[:, None] + torch.where(flip_B[:, None], width - 1 - columns_BW, columns_BW)
    sample_B = torch.arange(count, device=device)
    return padded[sample_B[:, None, None], rows_BH[:, :, None], columns_BW[:, None, :]]


@dataclasses.dataclass(frozen=True)
class EvaluationData:
    """Batches to be measured on, in their order: this process's part, no image twice.

    Args:
        source: of the images.
        info: their mean and standard deviation.
        batches: numbers of the images of every batch.
    """

    source: HeldImages | Loader
    info: DatasetInfo
    batches: Sequence[Tensor]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pass once over the data: normalised images and targets, on the device."""
        return _normalised(self.source.load((batch_B,) for batch_B in self.batches), self.info, self.source.device)


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Shuffled and varied batches to learn from.

    A last batch of less than half of the images is left out: statistics of a handful of images would disturb the
    others. An epoch shorter than that is one batch.

    Args:
        source: of the images.
        info: their mean and standard deviation.
        numbers: numbers of the images to train on.
        batch_size: images of the whole batch, all processes together.
        seed: starts every epoch's generator, together with the epoch's number.
        shard: this process's number and the number of processes that share an epoch.
        max_batches: of an epoch; ``None``: all.

    Raises:
        ValueError: when the batch or the images cannot be shared by the processes.
    """

    source: HeldImages | Loader
    info: DatasetInfo
    numbers: Tensor
    batch_size: int
    seed: int
    shard: Shard = (0, 1)
    max_batches: int | None = None

    def __post_init__(self) -> None:
        world = self.shard[1]
        if self.batch_size % world:
            fitting = max(self.batch_size // world, 1) * world
            raise ValueError(
                f"a batch of {self.batch_size} cannot be cut into {world} equal parts; one of {fitting} can"
            )
        if len(self.numbers) < world:
            raise ValueError(f"{len(self.numbers)} training images are too few for {world} processes")

    @property
    def num_samples(self) -> int:
        """Images of all processes."""
        return len(self.numbers)

    def __len__(self) -> int:
        """Steps of an epoch, the same number in every process."""
        return len(self._own(self.numbers))

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Pass once over the images, in the order and with the changes of this epoch.

        Raises:
            DataError: when a file is damaged, or files do not fit each other.
        """
        # On the processor, so that every device sees the same epoch.
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        order_N = torch.randperm(self.num_samples, generator=generator)
        drawn = (self.numbers[order_N], *self.source.draw(self.num_samples, generator))
        plan = zip(*map(self._own, drawn), strict=True)
        return _normalised(self.source.load(plan), self.info, self.source.device)

    def _own(self, drawn_N: Tensor) -> Sequence[Tensor]:
        """This process's part of every batch, of what was drawn for an epoch.

        The parts are equal. Where the images cannot be divided, the last few are left out of this epoch.
        """
        rank, world = self.shard
        batches = drawn_N[: len(drawn_N) // world * world].split(self.batch_size)
        if len(batches) > 1 and 2 * len(batches[-1]) < self.batch_size:
            batches = batches[:-1]
        return [batch[rank::world] for batch in batches[: self.max_batches]]


def _normalised(batches: Iterable[Any], info: DatasetInfo, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Images as float32 of mean 0 and deviation 1, channels last in memory, and targets as int64, on the device."""
    # Once a pass: torchvision's function would bring them to the device for every batch.
    mean_C11, std_C11 = ((torch.tensor(each, device=device) * 255).view(-1, 1, 1) for each in (info.mean, info.std))
    for images, targets in batches:
        images_BCHW = images.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        yield images_BCHW.float().sub_(mean_C11).mul_(1 / std_C11), targets.to(device, non_blocking=True).long()
