"""Images with masks: found on the disk, decoded one at a time, every label checked.

Shape letters: C channels, H height, W width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from netdeconv.data.decoding import load_image, opened
from netdeconv.data.errors import DataError, first_of, is_readable_folder, missing
from netdeconv.data.memory import resolve_data_dir
from netdeconv.data.registry import DatasetInfo, segmentation_info

# An image uint8 (C, H, W) and its mask uint8 (H, W): numbers of classes, or 255.
Pair = tuple[tv_tensors.Image, tv_tensors.Mask]
_UNKNOWN = 254
# Where images and masks are, below the folder of a data set, and how Cityscapes' names differ.
_FOLDERS = {"camvid": ("{}", "{}annot"), "cityscapes": ("leftImg8bit/{}", "gtFine/{}")}
_NAMES = ("_leftImg8bit", "_gtFine_labelIds")


class PairError(DataError):
    """An image and a mask that do not fit each other or the data set; the message names the file."""


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Images and masks by number.

    Args:
        files: of image and mask.
        info: the data set, which says what the ids in masks mean.
        size: height and width that they are brought to; ``None``: as they are.
    """

    files: Sequence[tuple[Path, Path]] = dataclasses.field(repr=False)
    info: DatasetInfo = dataclasses.field(repr=False)
    size: tuple[int, int] | None = None

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.files)

    def __getitem__(self, index: int) -> Pair:
        """Return one pair.

        Raises:
            IndexError: when there are not so many.
            CorruptImageError: when a file is damaged.
            PairError: when image and mask do not fit each other or the data set.
        """
        image_file, mask_file = self.files[index]
        image = load_image(image_file)
        with opened(mask_file) as file:
            mode, ids = file.mode, torch.from_numpy(np.array(file).astype(np.uint8))
        if mode not in ("L", "P", "1"):
            raise PairError(f"{mask_file} is no mask: its mode is {mode}, not one channel of class ids")
        if ids.shape != image.shape[-2:]:
            sizes = (f"{width}x{height}" for height, width in (tuple(ids.shape), tuple(image.shape[-2:])))
            raise PairError("mask {0} is {2} and its image {1} is {3}".format(mask_file, image_file, *sizes))
        pair = image, tv_tensors.Mask(self._classes(ids, mask_file))
        return pair if self.size is None else resized(pair, self.size)

    def some(self, places: Sequence[int]) -> Pairs:
        """Return the pairs in these places."""
        return dataclasses.replace(self, files=[self.files[place] for place in places])

    def _classes(self, ids_HW: Tensor, where: Path) -> Tensor:
        lookup = torch.full((256,), _UNKNOWN, dtype=torch.uint8)
        for label, number in self.info.labels.items():
            lookup[label] = number
        classes_HW = lookup[ids_HW.long()]
        unknown = ids_HW[classes_HW == _UNKNOWN].unique().tolist()
        if unknown:
            raise PairError(
                f"{where} holds label ids that the data set does not have: {', '.join(map(str, unknown))} "
                f"(known: {min(self.info.labels)} to {max(self.info.labels)})"
            )
        return classes_HW


def resized(pair: Pair, size: tuple[int, int]) -> Pair:
    """Return a pair at a size: the image bilinear with antialiasing, the mask by nearest neighbours."""
    image, mask = (functional.resize(each, list(size), antialias=True) for each in pair)
    return image, mask


def spaced(length: int, count: int) -> list[int]:
    """Return so many evenly spaced places of ``length``: neighbours in a video are nearly the same image."""
    return [(2 * number + 1) * length // (2 * count) for number in range(count)]


def spaced_split(numbers_N: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the places that stay when ``size`` evenly spaced ones are cut out, and these.

    Raises:
        ValueError: when ``size`` is out of range.
    """
    if not 1 <= size < len(numbers_N):
        raise ValueError(f"cannot cut {size} images from {len(numbers_N)}")
    taken = spaced(len(numbers_N), size)
    return torch.tensor(sorted({*range(len(numbers_N))} - {*taken})), torch.tensor(taken)


def find_pairs(name: str, split: str, *, data_dir: str | None = None, size: tuple[int, int] | None = None) -> Pairs:
    """Find the pairs of one part of a data set, in the order of their names; nothing is decoded yet.

    Args:
        name: a name of the registry.
        split: ``"train"``, ``"val"`` or ``"test"``.
        data_dir: folder of the data sets; ``None``: ``NETDECONV_DATA``, else ``data``.
        size: height and width that they are brought to; ``None``: as they are.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such data set.
        MissingDataError: when it is not on this machine.
        DataError: when a folder may not be read.
        PairError: when an image has no mask, or there are none.
    """
    info = segmentation_info(name)
    root = resolve_data_dir(data_dir)
    of_images, of_masks = (inside.format(split) for inside in _FOLDERS[name])
    folder = root / name if is_readable_folder(root) and is_readable_folder(root / name) else root
    for inside in (of_images, of_masks):
        if not is_readable_folder(folder / inside):
            raise missing(name, root, f"there is no {inside}, nor {name}/{inside}")
    images = sorted((folder / of_images).rglob("*.png"))
    places = (image.relative_to(folder / of_images) for image in images)
    masks = [folder / of_masks / place.with_name(place.name.replace(*_NAMES)) for place in places]
    absent = [str(mask) for mask in masks if not mask.is_file()]
    if absent or not images:
        raise PairError(f"{len(absent)} mask(s) for {len(images)} images of {name!r} are missing: {first_of(absent)}")
    return Pairs(list(zip(images, masks, strict=True)), info, size)
