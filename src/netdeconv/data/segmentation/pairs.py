"""Pairs of an image and a mask, decoded one at a time, every label checked.

Shape letters: C channels, H height, W width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from netdeconv.data.decoding import load_image, opened, read_file
from netdeconv.data.errors import DataError

# An image uint8 (C, H, W) and its mask uint8 (H, W): numbers of classes, or 255.
Pair = tuple[tv_tensors.Image, tv_tensors.Mask]
_UNKNOWN = 254


class PairError(DataError):
    """An image and a mask that do not fit each other or the data set; the message names the file."""


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Images and masks by number.

    Args:
        names: what the pairs are called in messages and file names.
        items: what each is decoded from.
        decode: from an item to an image and its mask.
        size: height and width that they are brought to; ``None``: as they are.
        least: height and width below which an image is refused.
        in_memory: whether they are decoded already.
    """

    names: Sequence[str]
    items: Sequence[Any] = dataclasses.field(repr=False)
    decode: Callable[[Any], Pair]
    size: tuple[int, int] | None = None
    least: tuple[int, int] = (1, 1)
    in_memory: bool = False

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.items)

    def load(self, index: int) -> Pair:
        """Return one pair.

        Raises:
            CorruptImageError: when a file is damaged.
            PairError: when image and mask do not fit each other or the data set, or are smaller than the crop.
        """
        image, mask = self.decode(self.items[index])
        if self.size is not None and tuple(image.shape[-2:]) != self.size:
            # The image bilinear with antialiasing, the mask by nearest neighbours.
            image, mask = (functional.resize(each, list(self.size), antialias=True) for each in (image, mask))
        height, width = image.shape[-2:]
        if height < self.least[0] or width < self.least[1]:
            raise PairError(
                f"{self.names[index]} is {width}x{height}, smaller than the crop of {self.least[1]}x{self.least[0]}: "
                "choose a smaller one"
            )
        return image, mask

    def resized(self, size: tuple[int, int] | None) -> Pairs:
        """Return the pairs at a size."""
        return dataclasses.replace(self, size=size)

    def held(self) -> Pairs:
        """Return the pairs decoded and resized, in memory."""
        pairs = [self.load(index) for index in range(len(self))]
        return dataclasses.replace(self, items=pairs, decode=_as_they_are, size=None, in_memory=True)

    def part(self, indices: Sequence[int]) -> Pairs:
        """Return some of the pairs."""
        names, items = ([values[index] for index in indices] for values in (self.names, self.items))
        return dataclasses.replace(self, names=names, items=items)

    def cut(self, size: int) -> tuple[Pairs, Pairs]:
        """Cut evenly spaced pairs out; what stays, and what was cut.

        Raises:
            ValueError: when ``size`` is out of range.
        """
        if not 1 <= size < len(self):
            raise ValueError(f"cannot cut {size} images from {len(self)}")
        taken = self._spaced(size)
        return self.part([index for index in range(len(self)) if index not in taken]), self.part(taken)

    def first(self, count: int) -> Iterator[tuple[str, tv_tensors.Image, tv_tensors.Mask]]:
        """Pass over evenly spaced pairs with their names, to be looked at."""
        for index in self._spaced(min(count, len(self))):
            yield (self.names[index], *self.load(index))

    def _spaced(self, count: int) -> list[int]:
        return [(2 * number + 1) * len(self) // (2 * count) for number in range(count)]


def _as_they_are(pair: Pair) -> Pair:
    return pair


def single(image: Tensor) -> Pairs:
    """Return an image uint8 (3, H, W) as a source of one pair, whose mask means nothing."""
    mask = tv_tensors.Mask(torch.zeros(image.shape[-2:], dtype=torch.uint8))
    return Pairs(["image"], [(tv_tensors.Image(image), mask)], _as_they_are)


@dataclasses.dataclass(frozen=True)
class FileDecoder:
    """From the files of an image and a mask to a pair.

    Args:
        labels: from the ids in masks to class numbers, or to 255.
    """

    labels: Mapping[int, int]

    def __call__(self, files: tuple[Path, Path]) -> Pair:
        """Decode one pair; errors as those of :meth:`Pairs.load`."""
        image_file, mask_file = files
        image = load_image(image_file)
        with opened(read_file(mask_file)) as file:
            if file.mode not in ("L", "P", "1"):
                raise PairError(f"{mask_file} is no mask: its mode is {file.mode}, not one channel of class ids")
            labels = torch.from_numpy(np.array(file).astype(np.uint8))
        if labels.shape != image.shape[-2:]:
            sizes = (f"{width}x{height}" for height, width in (tuple(labels.shape), tuple(image.shape[-2:])))
            raise PairError("mask {0} is {2} and its image {1} is {3}".format(mask_file, image_file, *sizes))
        return image, tv_tensors.Mask(self._classes(labels, mask_file))

    def _classes(self, labels_HW: Tensor, where: Path) -> Tensor:
        lookup = torch.full((256,), _UNKNOWN, dtype=torch.uint8)
        for label, number in self.labels.items():
            lookup[label] = number
        classes_HW = lookup[labels_HW.long()]
        unknown = labels_HW[classes_HW == _UNKNOWN].unique().tolist()
        if unknown:
            known = sorted(self.labels)
            gaps = "" if len(known) == known[-1] + 1 else ", with gaps"
            raise PairError(
                f"{where} holds label ids that the data set does not have: {', '.join(map(str, unknown))} "
                f"(known: {known[0]} to {known[-1]}{gaps})"
            )
        return classes_HW
