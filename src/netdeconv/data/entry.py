"""What the table of data sets says of each: what it holds, how it is read and varied, where it comes from."""

from __future__ import annotations

import dataclasses
from typing import Literal

Reader = Literal["digits", "torchvision", "batches", "folder"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of the training images of a set held in memory.

    Args:
        padding: zero pixels added to each side before an image-sized random crop.
        flip: whether half of the images are mirrored.
        cutout: side of a square, centred anywhere in the image, that is set to the mean colour; 0 for none.
    """

    padding: int = 4
    flip: bool = False
    cutout: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResizedCrop:
    """Random changes of the training images of a set read from files: a part of the image, resized.

    Args:
        scale: smallest and largest share of the image's area.
        ratio: smallest and largest width over height.
        flip: whether half of the images are mirrored.
        cutout: side of a square, centred anywhere in the result, that is set to the mean colour; 0 for none.

    Source:
        Szegedy et al., Going deeper with convolutions, CVPR 2015, section 6.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True
    cutout: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """One data set.

    Args:
        reader: how it is read: ``"folder"`` from image files as they are needed, the others into memory.
        shape: channels, height, width of what a network sees.
        num_classes: number of labels.
        mean: per channel, of the training images scaled to [0, 1].
        std: per channel, of the training images scaled to [0, 1].
        augmentation: random changes in training.
        source: where it comes from.
        licence: terms its makers give.
        folders: where, below the folder of the data sets, it may be, besides that folder itself.
        resize: shorter side that an image read from a file is resized to before an evaluation's centre crop.
        obtain: how to get it, where ``--download`` cannot.
    """

    reader: Reader
    shape: tuple[int, int, int]
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation | ResizedCrop
    source: str
    licence: str
    folders: tuple[str, ...] = ()
    resize: int | None = None
    obtain: str = ""
