"""Data sets by name: what they hold, how their images are varied in training, where they come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torchvision import datasets

from netdeconv.lookup import look_up

# What a mask holds where a pixel counts neither in the loss nor in a metric.
IGNORE = 255


@dataclasses.dataclass(frozen=True)
class PixelClass:
    """One class of pixels: its name and the colour it is drawn in."""

    name: str
    color: tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """One data set, of images with a label or with a mask.

    Args:
        reader: how it is read: ``digits`` of scikit-learn; ``folder``, image files in a folder for each class;
            ``camvid`` or ``cityscapes``, files of images and masks; else torchvision's class of this name, into memory.
        shape: channels, height, width of what a network sees.
        num_classes: number of labels, the ignored one not counted.
        mean: per channel, of the training images scaled to [0, 1].
        std: per channel, of the training images scaled to [0, 1].
        source: where it comes from.
        licence: terms its makers give.
        padding: zero pixels added to each side before an image-sized random crop, of sets held in memory. Of image
            files a random part is resized, by torchvision's ``RandomResizedCrop`` with its usual limits.
        flip: whether half of the training images are mirrored.
        folders: where, below the folder of the data sets, it may be, besides that folder itself.
        resize: shorter side that an image read from a file is resized to before an evaluation's centre crop.
        classes: of pixels, in the order of the numbers that a network predicts.
        labels: from the ids in the files' masks to the classes' numbers, or to 255, ignored.
        crop: height and width of the training crop of images with masks, when nobody asks for another.
        splits: parts with masks that a network can be evaluated on; the first one is the usual.
    """

    reader: str
    shape: tuple[int, int, int]
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    licence: str
    padding: int = 4
    flip: bool = False
    folders: tuple[str, ...] = ()
    resize: int = 0
    classes: tuple[PixelClass, ...] = ()
    labels: Mapping[int, int] = dataclasses.field(default_factory=dict)
    crop: tuple[int, int] = (0, 0)
    splits: tuple[str, ...] = ("val",)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of pixels in their order."""
        return tuple(each.name for each in self.classes)


_CIFAR = "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009", "none; cite the author"

# Reader, shape, classes, mean, deviation, source, licence.
DATASETS: dict[str, DatasetInfo] = {
    "digits": DatasetInfo(
        "digits", (1, 32, 32), 10, (0.306,), (0.324,), "Alpaydin, Kaynak, 1998; scikit-learn's, 8x8 scaled", "CC BY 4.0"
    ),
    "cifar10": DatasetInfo(
        "CIFAR10", (3, 32, 32), 10, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), *_CIFAR, flip=True
    ),
    "cifar100": DatasetInfo(
        "CIFAR100", (3, 32, 32), 100, (0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762), *_CIFAR, flip=True
    ),
    "mnist": DatasetInfo(
        "MNIST", (1, 28, 28), 10, (0.1307,), (0.3081,), "LeCun, Cortes, Burges, 1998", "CC BY-SA 3.0", padding=2
    ),
    "fashion_mnist": DatasetInfo(
        "FashionMNIST", (1, 28, 28), 10, (0.2860,), (0.3530,), "Zalando Research, 2017", "MIT", padding=2, flip=True
    ),
    "imagenet": DatasetInfo(
        reader="folder",
        shape=(3, 224, 224),
        num_classes=1000,
        # Of a subset at 224x224; all published networks of this size were trained with them.
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        source="O. Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, 2015 (ILSVRC 2012)",
        licence="terms of ImageNet: non-commercial research",
        folders=("imagenet", "CLS-LOC", "Data/CLS-LOC", "ILSVRC/Data/CLS-LOC", "imagenet/ILSVRC/Data/CLS-LOC"),
        resize=256,
    ),
    "imagenette": DatasetInfo(
        reader="folder",
        shape=(3, 160, 160),
        num_classes=10,
        mean=(0.485, 0.456, 0.406),  # ImageNet's, from which the images are
        std=(0.229, 0.224, 0.225),
        source="J. Howard, Imagenette: ten easy classes of ImageNet, 2019",
        licence="terms of ImageNet: non-commercial research",
        folders=("imagenette2-160", "imagenette2", "imagenette2-320", "imagenette160", "imagenet_sample/imagenette160"),
        resize=182,
    ),
}

_CAMVID = (
    PixelClass("Sky", (128, 128, 128)),
    PixelClass("Building", (128, 0, 0)),
    PixelClass("Pole", (192, 192, 128)),
    PixelClass("Road", (128, 64, 128)),
    PixelClass("Pavement", (60, 40, 222)),
    PixelClass("Tree", (128, 128, 0)),
    PixelClass("SignSymbol", (192, 128, 128)),
    PixelClass("Fence", (64, 64, 128)),
    PixelClass("Car", (64, 0, 128)),
    PixelClass("Pedestrian", (64, 64, 0)),
    PixelClass("Bicyclist", (0, 128, 192)),
)
# Of the 34 ids in Cityscapes' files, 19 are trained on.
_CITYSCAPES = [each for each in datasets.Cityscapes.classes if each.id >= 0]


SEGMENTATION_DATASETS: dict[str, DatasetInfo] = {
    "camvid": DatasetInfo(
        reader="camvid",
        num_classes=len(_CAMVID),
        classes=_CAMVID,
        labels={**{number: number for number in range(len(_CAMVID))}, len(_CAMVID): IGNORE},
        source="G. Brostow, J. Fauqueur, R. Cipolla, 2008/2009; 11 classes and void, 480x360, of the SegNet tutorial",
        licence="CC BY-NC 4.0",
        shape=(3, 360, 480),
        mean=(0.4115, 0.4256, 0.4319),
        std=(0.3068, 0.3107, 0.3066),
        crop=(360, 480),
        splits=("val", "test"),
    ),
    "cityscapes": DatasetInfo(
        reader="cityscapes",
        num_classes=19,
        classes=tuple(PixelClass(each.name, each.color) for each in _CITYSCAPES if each.train_id != IGNORE),
        labels={each.id: each.train_id for each in _CITYSCAPES},
        shape=(3, 1024, 2048),
        mean=(0.2869, 0.3251, 0.2839),
        std=(0.1870, 0.1902, 0.1872),
        crop=(768, 768),
        source="M. Cordts et al., The Cityscapes Dataset, 2016; fine annotations, 19 training classes",
        licence="non-commercial research, after registration",
    ),
}


def info(name: str) -> DatasetInfo:
    """Return the entry of a data set of labelled images.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such data set.
    """
    return look_up("dataset", name, DATASETS)


def segmentation_info(name: str) -> DatasetInfo:
    """Return the entry of a data set of images with masks.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such data set.
    """
    return look_up("segmentation dataset", name, SEGMENTATION_DATASETS)
