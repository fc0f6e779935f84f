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
from torchvision import tv_tensors
from torchvision.transforms import v2

from netdeconv.data.loader import Loader, vary
from netdeconv.data.memory import RawImages
from netdeconv.data.registry import DatasetInfo

# This process's number, and the number of processes.
Shard = tuple[int, int]
_SEEDS = 2**62


class HeldImages:
    """Images kept on a device as bytes, cropped and mirrored there, a batch at once.

    Args:
        raw: images and labels.
        device: where they are kept.
        augmentation: the data set, whose ``padding`` and ``flip`` say how images are varied; ``None``: not at all.
        cutout: side of a hidden square; 0 for none.
    """

    def __init__(
        self, raw: RawImages, *, device: torch.device, augmentation: DatasetInfo | None = None, cutout: int = 0
    ) -> None:
        self.device = device
        self._images_NHWC, self._labels_N = raw.images.to(device), raw.labels.to(device)
        self._augmentation = augmentation
        self._hide = hidden_square(augmentation, cutout) if augmentation is not None and cutout else None

    def draw(self, count: int, generator: torch.Generator) -> Sequence[Tensor]:
        """Return for ``count`` images the first row and column of their windows, whether they are mirrored, seeds."""
        if self._augmentation is None:
            return ()
        top_N, left_N = torch.randint(2 * self._augmentation.padding + 1, (2, count), generator=generator)
        flip_N = torch.rand(count, generator=generator) < (0.5 if self._augmentation.flip else 0.0)
        # Drawn last, so that the crops are the same with and without hidden squares.
        seeds = () if self._hide is None else (torch.randint(_SEEDS, (count,), generator=generator),)
        return (top_N, left_N, flip_N, *seeds)

    def load(self, plan: Iterable[Sequence[Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Return images uint8 (B, C, H, W) and labels, by their numbers and what was drawn for them."""
        for numbers_B, *drawn in plan:
            index_B = numbers_B.to(self.device)
            images_BHWC = self._images_NHWC[index_B]
            if self._augmentation is not None:
                where = (each.to(self.device) for each in drawn[:3])
                images_BHWC = crop_and_flip(images_BHWC, self._augmentation.padding, *where)
            images_BCHW = images_BHWC.permute(0, 3, 1, 2)
            if self._hide is not None:
                each = zip(images_BCHW, drawn[3].tolist(), strict=True)
                images_BCHW = torch.stack(
                    [vary((tv_tensors.Image(image), 0), self._hide, seed)[0] for image, seed in each]
                )
            yield images_BCHW, self._labels_N[index_B]


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


def hidden_square(info: DatasetInfo, side: int) -> v2.Transform:
    """Return the transform that sets a square somewhere in an image to the mean colour.

    Raises:
        ValueError: when it would hide all of the image.

    Source:
        DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017, where a part of
        the square may lie outside of the image.
    """
    _, height, width = info.shape
    if side >= min(height, width):
        raise ValueError(f"cutout {side} hides all of an image of {height} x {width}")
    share = side**2 / (height * width)
    color = [round(255 * mean) for mean in info.mean]
    return v2.RandomErasing(p=1, scale=(share, share), ratio=(1, 1), value=color)


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

    @property
    def num_samples(self) -> int:
        """Images of this process."""
        return sum(map(len, self.batches))

    def __len__(self) -> int:
        """Batches of this process."""
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pass once over the data: normalised images and targets, on the device."""
        return _normalised(self.source.load((batch_B,) for batch_B in self.batches), self.info, self.source.device)


class TrainingData:
    """Shuffled and varied batches to learn from.

    A last batch of less than half of the images is left out: statistics of a handful of images would disturb the
    others. An epoch shorter than that is one batch.

    Args:
        source: of the images.
        info: their mean and standard deviation.
        index_N: numbers of the images to train on.
        batch_size: images of the whole batch, all processes together.
        seed: starts every epoch's generator, together with the epoch's number.
        shard: this process's number and the number of processes that share an epoch.
        max_batches: of an epoch; ``None``: all.

    Raises:
        ValueError: when the batch or the images cannot be shared by the processes.
    """

    def __init__(
        self,
        source: HeldImages | Loader,
        info: DatasetInfo,
        index_N: Tensor,
        *,
        batch_size: int,
        seed: int,
        shard: Shard = (0, 1),
        max_batches: int | None = None,
    ) -> None:
        world = shard[1]
        if batch_size < 1 or batch_size % world:
            fitting = max(batch_size // world, 1) * world
            raise ValueError(f"a batch of {batch_size} cannot be cut into {world} equal parts; one of {fitting} can")
        if len(index_N) < world:
            raise ValueError(f"{len(index_N)} training images are too few for {world} processes")
        self.source, self.info, self.index_N = source, info, index_N
        self._batch_size, self._seed, self._shard, self._max_batches = batch_size, seed, shard, max_batches

    @property
    def num_samples(self) -> int:
        """Images of all processes."""
        return len(self.index_N)

    def __len__(self) -> int:
        """Steps of an epoch, the same number in every process."""
        return len(self._own(self.index_N))

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Pass once over the images, in the order and with the changes of this epoch.

        Raises:
            DataError: when a file is damaged, or files do not fit each other.
            RuntimeError: when a loader process dies.
        """
        # On the processor, so that every device sees the same epoch.
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + number)
        order_N = torch.randperm(self.num_samples, generator=generator)
        drawn = (self.index_N[order_N], *self.source.draw(self.num_samples, generator))
        parts = map(self._own, drawn)
        return _normalised(self.source.load(zip(*parts, strict=True)), self.info, self.source.device)

    def _own(self, drawn_N: Tensor) -> Sequence[Tensor]:
        """This process's part of every batch, of what was drawn for an epoch.

        The parts are equal. Where the images cannot be divided, the last few are left out of this epoch.
        """
        rank, world = self._shard
        batches = drawn_N[: len(drawn_N) // world * world].split(self._batch_size)
        if len(batches) > 1 and 2 * len(batches[-1]) < self._batch_size:
            batches = batches[:-1]
        return [batch[rank::world] for batch in batches[: self._max_batches]]


def _normalised(batches: Iterable[Any], info: DatasetInfo, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Images as float32 of mean 0 and deviation 1, channels last in memory, and targets as int64, on the device."""
    # Once a pass: torchvision's function would bring them to the device for every batch.
    mean_C11, std_C11 = ((torch.tensor(each, device=device) * 255).view(-1, 1, 1) for each in (info.mean, info.std))
    for images, targets in batches:
        images_BCHW = images.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        yield images_BCHW.float().sub_(mean_C11).mul_(1 / std_C11), targets.to(device, non_blocking=True).long()
