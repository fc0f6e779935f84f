"""Data sets by name: what they hold, how their images are varied in training, where they come from."""

from __future__ import annotations

import dataclasses
from typing import Literal

from netdeconv.lookup import look_up


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of the training images.

    Args:
        padding: zero pixels added to each side before an image-sized random crop.
        flip: whether half of the images are mirrored.
    """

    padding: int = 4
    flip: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """One data set of small images.

    Args:
        reader: which function of :mod:`netdeconv.data.sources` reads it.
        shape: channels, height, width.
        num_classes: number of labels.
        mean: per channel, of the training images scaled to [0, 1].
        std: per channel, of the training images scaled to [0, 1].
        augmentation: random changes in training.
        source: where it comes from.
        licence: terms its makers give.
    """

    reader: Literal["digits", "torchvision"]
    shape: tuple[int, int, int]
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation
    source: str
    licence: str


DATASETS: dict[str, DatasetInfo] = {
    "digits": DatasetInfo(
        reader="digits",
        shape=(1, 32, 32),
        num_classes=10,
        mean=(0.306,),
        std=(0.324,),
        augmentation=Augmentation(padding=4),
        source="E. Alpaydin, C. Kaynak, 1998; scikit-learn's load_digits, 8x8 scaled to 32x32",
        licence="CC BY 4.0",
    ),
    "cifar10": DatasetInfo(
        reader="torchvision",
        shape=(3, 32, 32),
        num_classes=10,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        augmentation=Augmentation(flip=True),
        source="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        licence="none stated; the author asks for the citation",
    ),
    "cifar100": DatasetInfo(
        reader="torchvision",
        shape=(3, 32, 32),
        num_classes=100,
        mean=(0.5071, 0.4866, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        augmentation=Augmentation(flip=True),
        source="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        licence="none stated; the author asks for the citation",
    ),
    "mnist": DatasetInfo(
        reader="torchvision",
        shape=(1, 28, 28),
        num_classes=10,
        mean=(0.1307,),
        std=(0.3081,),
        augmentation=Augmentation(padding=2),
        source="Y. LeCun, C. Cortes, C. Burges, 1998",
        licence="CC BY-SA 3.0",
    ),
    "fashion_mnist": DatasetInfo(
        reader="torchvision",
        shape=(1, 28, 28),
        num_classes=10,
        mean=(0.2860,),
        std=(0.3530,),
        augmentation=Augmentation(padding=2, flip=True),
        source="Zalando Research, 2017",
        licence="MIT",
    ),
    "svhn": DatasetInfo(
        reader="torchvision",
        shape=(3, 32, 32),
        num_classes=10,
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1980, 0.2010, 0.1970),
        augmentation=Augmentation(),
        source="Y. Netzer et al., Reading Digits in Natural Images, 2011",
        licence="non-commercial use",
    ),
    "stl10": DatasetInfo(
        reader="torchvision",
        shape=(3, 96, 96),
        num_classes=10,
        mean=(0.4467, 0.4398, 0.4066),
        std=(0.2603, 0.2566, 0.2713),
        augmentation=Augmentation(padding=12, flip=True),
        source="A. Coates, H. Lee, A. Ng, 2011; images of ImageNet",
        licence="terms of ImageNet: non-commercial research",
    ),
}


def list_names() -> list[str]:
    """Return the names of all data sets."""
    return list(DATASETS)


def info(name: str) -> DatasetInfo:
    """Return the entry of one data set.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such data set.
    """
    return look_up("dataset", name, DATASETS)
