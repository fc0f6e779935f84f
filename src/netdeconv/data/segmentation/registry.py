"""Data sets with a class for every pixel: classes and their colours, splits, statistics, where they come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from torchvision import datasets

from netdeconv.lookup import look_up

# What a mask holds where a pixel counts neither in the loss nor in a metric.
IGNORE = 255


@dataclasses.dataclass(frozen=True)
class PixelClass:
    """One class: its name and the colour it is drawn in."""

    name: str
    color: tuple[int, int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationInfo:
    """One data set of images with masks.

    Args:
        reader: which function of :mod:`netdeconv.data.segmentation.sources` reads it.
        folder: where it lies in the folder of the data sets.
        shape: channels, height, width of its images; of a usual one, where they vary.
        classes: in the order of the numbers that a network predicts.
        labels: from the ids in the files' masks to the classes' numbers, or to 255, ignored.
        mean: per channel, of the training images scaled to [0, 1].
        std: per channel, of the training images scaled to [0, 1].
        crop: height and width of the training crop, when nobody asks for another.
        splits: parts with masks that a network can be evaluated on; the first one is the usual.
        varying: whether sizes differ, so that images smaller than the crop are padded instead of refused.
        source: where it comes from.
        licence: terms its makers give.
    """

    reader: Literal["camvid", "cityscapes", "voc", "coco"]
    folder: str
    shape: tuple[int, int, int]
    classes: tuple[PixelClass, ...]
    labels: Mapping[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop: tuple[int, int]
    source: str
    licence: str
    splits: tuple[str, ...] = ("val",)
    varying: bool = False

    @property
    def num_classes(self) -> int:
        """Number of classes, the ignored label not counted."""
        return len(self.classes)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in their order."""
        return tuple(each.name for each in self.classes)


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
_CITYSCAPES_IDS = [each for each in datasets.Cityscapes.classes if each.id >= 0]
_CITYSCAPES: dict[str, Any] = {
    "reader": "cityscapes",
    "classes": tuple(PixelClass(each.name, each.color) for each in _CITYSCAPES_IDS if each.train_id != IGNORE),
    "labels": {each.id: each.train_id for each in _CITYSCAPES_IDS},
}

_VOC_NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


def _voc_color(number: int) -> tuple[int, int, int]:
    """The colour that VOC's files give a class: the number's bits, dealt to the channels from the highest down."""
    channels = [0, 0, 0]
    for bit in range(8):
        channels[bit % 3] |= (number >> bit & 1) << 7 - bit // 3
    return (channels[0], channels[1], channels[2])


_CAMVID_IMAGES: dict[str, Any] = {
    "shape": (3, 360, 480),
    "mean": (0.4115, 0.4256, 0.4319),
    "std": (0.3068, 0.3107, 0.3066),
    "crop": (360, 480),
    "splits": ("val", "test"),
    "licence": "CC BY-NC 4.0",
}
_VOC: dict[str, Any] = {
    "classes": tuple(PixelClass(name, _voc_color(number)) for number, name in enumerate(_VOC_NAMES)),
    "labels": {**{number: number for number in range(len(_VOC_NAMES))}, 255: IGNORE},
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "crop": (480, 480),
    "varying": True,
}

SEGMENTATION_DATASETS: dict[str, SegmentationInfo] = {
    "camvid": SegmentationInfo(
        reader="camvid",
        folder="camvid",
        classes=_CAMVID,
        labels={**{number: number for number in range(len(_CAMVID))}, len(_CAMVID): IGNORE},
        source="G. Brostow, J. Fauqueur, R. Cipolla, 2008/2009; 11 classes and void, 480x360, of the SegNet tutorial",
        **_CAMVID_IMAGES,
    ),
    "camvid_cityscapes": SegmentationInfo(
        folder="camvid_cityscapes",
        source="CamVid's frames in the layout of Cityscapes: 11 of its 19 classes occur",
        **_CITYSCAPES,
        **_CAMVID_IMAGES,
    ),
    "cityscapes": SegmentationInfo(
        folder="cityscapes",
        shape=(3, 1024, 2048),
        mean=(0.2869, 0.3251, 0.2839),
        std=(0.1870, 0.1902, 0.1872),
        crop=(768, 768),
        source="M. Cordts et al., The Cityscapes Dataset, 2016; fine annotations, 19 training classes",
        licence="non-commercial research, after registration",
        **_CITYSCAPES,
    ),
    "voc": SegmentationInfo(
        reader="voc",
        folder="",
        shape=(3, 375, 500),
        source="M. Everingham et al., The PASCAL Visual Object Classes Challenge 2012",
        licence="Flickr's terms of use",
        **_VOC,
    ),
    "coco": SegmentationInfo(
        reader="coco",
        folder="coco",
        shape=(3, 480, 640),
        source="T.-Y. Lin et al., Microsoft COCO 2017; instances of VOC's 20 classes",
        licence="annotations CC BY 4.0, images Flickr's terms of use",
        **_VOC,
    ),
}


def segmentation_info(name: str) -> SegmentationInfo:
    """Return the entry of one data set.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such data set.
    """
    return look_up("segmentation dataset", name, SEGMENTATION_DATASETS)
