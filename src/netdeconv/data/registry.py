"""Data sets by name: what they hold, how their images are varied in training, where they come from."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from netdeconv.lookup import look_up


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of training images.

    Args:
        padding: zero pixels added to each side before an image-sized random crop, of sets held in memory. Of image
            files a random part is resized, by torchvision's ``RandomResizedCrop`` with its usual limits.
        flip: whether half of the images are mirrored.
        cutout: side of a square, centred anywhere in the image, that is set to the mean colour; 0 for none.
    """

    padding: int = 4
    flip: bool = False
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

    reader: Literal["digits", "torchvision", "batches", "folder"]
    shape: tuple[int, int, int]
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation
    source: str
    licence: str
    folders: tuple[str, ...] = ()
    resize: int | None = None
    obtain: str = ""


_IMAGENET_LICENCE = "terms of ImageNet: non-commercial research"
# Of a subset of ImageNet at 224x224; all published networks of this size were trained with them.
_IMAGENET_COLOURS: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_CIFAR: dict[str, Any] = {
    "source": "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    "licence": "none stated; the author asks for the citation",
}
_DOWNSAMPLED: dict[str, Any] = {
    "source": "P. Chrabaszcz, I. Loshchilov, F. Hutter, A Downsampled Variant of ImageNet, 2017",
    "licence": _IMAGENET_LICENCE,
}
_DOWNSAMPLED_FROM = "image-net.org gives it to those who register (Imagenet{0}_train.zip and Imagenet{0}_val.zip)"

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
        **_CIFAR,
    ),
    "cifar100": DatasetInfo(
        reader="torchvision",
        shape=(3, 32, 32),
        num_classes=100,
        mean=(0.5071, 0.4866, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        augmentation=Augmentation(flip=True),
        **_CIFAR,
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
        licence=_IMAGENET_LICENCE,
    ),
    "imagenet": DatasetInfo(
        reader="folder",
        shape=(3, 224, 224),
        num_classes=1000,
        **_IMAGENET_COLOURS,
        augmentation=Augmentation(flip=True),
        source="O. Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, 2015 (ILSVRC 2012)",
        licence=_IMAGENET_LICENCE,
        folders=("imagenet", "CLS-LOC", "Data/CLS-LOC", "ILSVRC/Data/CLS-LOC", "imagenet/ILSVRC/Data/CLS-LOC"),
        resize=256,
        obtain="image-net.org gives it to those who register (ILSVRC 2012, classification)",
    ),
    "imagenette": DatasetInfo(
        reader="folder",
        shape=(3, 128, 128),
        num_classes=10,
        **_IMAGENET_COLOURS,
        augmentation=Augmentation(flip=True),
        source="fast.ai, Imagenette, 2019: ten classes of ImageNet",
        licence="Apache 2.0; the images under the terms of ImageNet: non-commercial research",
        folders=("imagenette2-160", "imagenette2-320", "imagenette2", "imagenette160"),
        resize=160,
    ),
    "imagenet32": DatasetInfo(
        reader="batches",
        shape=(3, 32, 32),
        num_classes=1000,
        # As used in public training programs for these files; the files themselves are not at hand here.
        mean=(0.4811, 0.4575, 0.4079),
        std=(0.2604, 0.2532, 0.2682),
        augmentation=Augmentation(flip=True),
        **_DOWNSAMPLED,
        folders=("imagenet32", "Imagenet32"),
        obtain=_DOWNSAMPLED_FROM.format(32),
    ),
    "imagenet16": DatasetInfo(
        reader="batches",
        shape=(3, 16, 16),
        num_classes=1000,
        # Likewise: 122.68, 116.66, 104.01 and 63.22, 61.26, 65.09, of 255.
        mean=(0.4811, 0.4575, 0.4079),
        std=(0.2479, 0.2402, 0.2553),
        augmentation=Augmentation(padding=2, flip=True),
        **_DOWNSAMPLED,
        folders=("imagenet16", "Imagenet16"),
        obtain=_DOWNSAMPLED_FROM.format(16),
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
