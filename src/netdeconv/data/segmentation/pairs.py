"""Pairs of an image and a mask, decoded one at a time, every label checked.

Shape letters: C channels, H height, W width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from netdeconv.data.decoding import load_image, opened
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
        files: of image and mask.
        labels: from the ids in masks to class numbers, or to 255.
        size: height and width that they are brought to; ``None``: as they are.
        least: height and width below which an image is refused.
        held: the pairs as they are loaded, where they are in memory.
    """

    files: Sequence[tuple[Path, Path]] = dataclasses.field(repr=False)
    labels: Mapping[int, int]
    size: tuple[int, int] | None = None
    least: tuple[int, int] = (1, 1)
    held: Sequence[Pair] | None = dataclasses.field(default=None, repr=False)

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.files)

    def load(self, index: int) -> Pair:
        """Return one pair.

        Raises:
            CorruptImageError: when a file is damaged.
            PairError: when image and mask do not fit each other or the data set, or are smaller than the crop.
        """
        if self.held is not None:
            return self.held[index]
        image, mask = self._decode(*self.files[index])
        if self.size is not None:
            image, mask = resized((image, mask), self.size)
        height, width = image.shape[-2:]
        if height < self.least[0] or width < self.least[1]:
            raise PairError(
                f"{self.files[index][0]} is {width}x{height}, smaller than the crop of "
                f"{self.least[1]}x{self.least[0]}: choose a smaller one"
            )
        return image, mask

    def in_memory(self) -> Pairs:
        """Return the pairs, decoded and resized."""
        return dataclasses.replace(self, held=[self.load(index) for index in range(len(self))])

    def cut(self, size: int) -> tuple[Pairs, Pairs]:
        """Cut evenly spaced pairs out; what stays, and what was cut.

        Raises:
            ValueError: when ``size`` is out of range.
        """
        if not 1 <= size < len(self):
            raise ValueError(f"cannot cut {size} images from {len(self)}")
        taken = self._spaced(size)
        parts = ([index for index in range(len(self)) if index not in taken], taken)
        kept, cut = (dataclasses.replace(self, files=[self.files[index] for index in part]) for part in parts)
        return kept, cut

    def first(self, count: int) -> Iterator[tuple[str, tv_tensors.Image, tv_tensors.Mask]]:
        """Pass over evenly spaced pairs with the images' names, to be looked at."""
        for index in self._spaced(min(count, len(self))):
            yield (self.files[index][0].stem, *self.load(index))

    def _spaced(self, count: int) -> list[int]:
        return [(2 * number + 1) * len(self) // (2 * count) for number in range(count)]

    def _decode(self, image_file: Path, mask_file: Path) -> Pair:
        image = load_image(image_file)
        with opened(mask_file) as file:
            mode, ids = file.mode, torch.from_numpy(np.array(file).astype(np.uint8))
        if mode not in ("L", "P", "1"):
            raise PairError(f"{mask_file} is no mask: its mode is {mode}, not one channel of class ids")
        if ids.shape != image.shape[-2:]:
            sizes = (f"{width}x{height}" for height, width in (tuple(ids.shape), tuple(image.shape[-2:])))
            raise PairError("mask {0} is {2} and its image {1} is {3}".format(mask_file, image_file, *sizes))
        return image, tv_tensors.Mask(self._classes(ids, mask_file))

    def _classes(self, ids_HW: Tensor, where: Path) -> Tensor:
        lookup = torch.full((256,), _UNKNOWN, dtype=torch.uint8)
        for label, number in self.labels.items():
            lookup[label] = number
        classes_HW = lookup[ids_HW.long()]
        unknown = ids_HW[classes_HW == _UNKNOWN].unique().tolist()
        if unknown:
            known = sorted(self.labels)
            gaps = "" if len(known) == known[-1] + 1 else ", with gaps"
            raise PairError(
                f"{where} holds label ids that the data set does not have: {', '.join(map(str, unknown))} "
                f"(known: {known[0]} to {known[-1]}{gaps})"
            )
        return classes_HW


def resized(pair: Pair, size: tuple[int, int]) -> Pair:
    """Return a pair at a size: the image bilinear with antialiasing, the mask by nearest neighbours."""
    image, mask = (functional.resize(each, list(size), antialias=True) for each in pair)
    return image, mask
