"""Pairs of an image and a mask, decoded one at a time, every label checked.

Shape letters: C channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from netdeconv.data.errors import CorruptImageError, DataError
from netdeconv.data.segmentation.registry import SegmentationInfo

_UNKNOWN = 254


class PairError(DataError):
    """An image and a mask that do not fit each other or the data set; the message names the file."""


class PairSource(Protocol):
    """Images and masks by number."""

    def __len__(self) -> int:
        """Number of pairs."""

    def name(self, index: int) -> str:
        """What the pair is called in messages and file names."""

    def load(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        """Return an image uint8 (C, H, W) and its mask uint8 (H, W): numbers of classes, or 255."""


def load_image(path: Path) -> tv_tensors.Image:
    """Return an image file as uint8 (3, H, W).

    Raises:
        CorruptImageError: when the file is damaged or no image.
        FileNotFoundError: when there is none.
    """
    with _opened(path) as file:
        return tv_tensors.Image(functional.pil_to_tensor(file.convert("RGB")))


@dataclasses.dataclass(frozen=True)
class FilePairs:
    """Pairs of image files and mask files.

    Args:
        files: for every pair the image and the mask.
        info: the data set, whose labels the masks hold.
    """

    files: tuple[tuple[Path, Path], ...]
    info: SegmentationInfo

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.files)

    def name(self, index: int) -> str:
        """The image file's name without its ending."""
        return self.files[index][0].stem

    def load(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        """Decode one pair.

        Raises:
            CorruptImageError: when a file is damaged.
            PairError: when sizes differ, or the mask holds an unknown label.
        """
        image_file, mask_file = self.files[index]
        image = load_image(image_file)
        with _opened(mask_file) as file:
            if file.mode not in ("L", "P", "1"):
                raise PairError(f"{mask_file} is no mask: its mode is {file.mode}, not one channel of class ids")
            labels = np.array(file.convert("P") if file.mode == "1" else file, dtype=np.uint8)
        if labels.shape != tuple(image.shape[-2:]):
            sizes = (f"{width}x{height}" for height, width in (labels.shape, tuple(image.shape[-2:])))
            raise PairError("mask {0} is {2} and its image {1} is {3}".format(mask_file, image_file, *sizes))
        return image, tv_tensors.Mask(to_classes(torch.from_numpy(labels), self.info.labels, mask_file))


def to_classes(labels_HW: Tensor, table: Mapping[int, int], where: object) -> Tensor:
    """Return class numbers for the labels of a file.

    Args:
        labels_HW: uint8.
        table: from labels to classes.
        where: what holds the labels, for the message.

    Raises:
        PairError: when a label is not in the table, with all such labels.
    """
    lookup = torch.full((256,), _UNKNOWN, dtype=torch.uint8)
    for label, number in table.items():
        lookup[label] = number
    classes_HW = lookup[labels_HW.long()]
    unknown = labels_HW[classes_HW == _UNKNOWN]
    if len(unknown):
        ids = ", ".join(str(label) for label in unknown.unique().tolist())
        known = sorted(table)
        raise PairError(
            f"{where} holds label ids that the data set does not have: {ids} "
            f"(known: {known[0]} to {known[-1]}{'' if len(known) == known[-1] + 1 else ', with gaps'})"
        )
    return classes_HW


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[PillowImage.Image]:
    """A decoded image file, whose damage is reported with its name."""
    try:
        file = PillowImage.open(path)
        file.load()
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise CorruptImageError(f"{path} is damaged or no image ({error})") from error
    with file:
        yield file


@dataclasses.dataclass(frozen=True)
class Part:
    """Some pairs of a source."""

    source: PairSource
    indices: tuple[int, ...]

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.indices)

    def name(self, index: int) -> str:
        """The pair's name."""
        return self.source.name(self.indices[index])

    def load(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        """One pair."""
        return self.source.load(self.indices[index])


def cut(source: PairSource, size: int) -> tuple[Part, Part]:
    """Cut evenly spaced pairs from a source; what stays, and what was cut out.

    Raises:
        ValueError: when ``size`` is out of range.
    """
    count = len(source)
    if not 1 <= size < count:
        raise ValueError(f"cannot cut {size} images from {count}")
    taken = {(2 * number + 1) * count // (2 * size) for number in range(size)}
    return (
        Part(source, tuple(index for index in range(count) if index not in taken)),
        Part(source, tuple(sorted(taken))),
    )
