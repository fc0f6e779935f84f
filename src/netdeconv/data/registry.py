"""Data sets by name: what they hold, how their images are varied in training, where they come from."""

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
    """One class of pixels: its name and the colour it is drawn in."""

    name: str
    color: tuple[int, int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """One data set, of images with a label or with a mask.

    Args:
        reader: how it is read: into memory from scikit-learn or by torchvision's class ``published``, from a folder
            for each class as images are needed, or as pairs of image and mask.
        shape: channels, height, width of what a network sees; of a usual image, where they vary.
        num_classes: number of labels, the ignored one not counted.
        mean: per channel, of the training images scaled to [0, 1].
        std: per channel, of the training images scaled to [0, 1].
        source: where it comes from.
        licence: terms its makers give.
        published: name of torchvision's class.
        padding: zero pixels added to each side before an image-sized random crop, of sets held in memory. Of image
            files a random part is resized, by torchvision's ``RandomResizedCrop`` with its usual limits.
        flip: whether half of the training images are mirrored.
        folders: where, below the folder of the data sets, it may be, besides that folder itself.
        resize: shorter side that an image read from a file is resized to before an evaluation's centre crop.
        obtain: how to get it, where ``--download`` cannot.
        names: of the labels, with commas between; empty where they are numbers, or names of folders.
        classes: of pixels, in the order of the numbers that a network predicts.
        labels: from the ids in the files' masks to the classes' numbers, or to 255, ignored.
        crop: height and width of the training crop of images with masks, when nobody asks for another.
        splits: parts with masks that a network can be evaluated on; the first one is the usual.
        varying: whether sizes differ, so that images smaller than the crop are padded instead of refused.
    """

    reader: Literal["digits", "torchvision", "folder", "camvid", "cityscapes", "voc"]
    shape: tuple[int, int, int]
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    licence: str
    published: str = ""
    padding: int = 4
    flip: bool = False
    folders: tuple[str, ...] = ()
    resize: int | None = None
    obtain: str = ""
    names: str = ""
    classes: tuple[PixelClass, ...] = ()
    labels: Mapping[int, int] = dataclasses.field(default_factory=dict)
    crop: tuple[int, int] = (0, 0)
    splits: tuple[str, ...] = ("val",)
    varying: bool = False

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of pixels in their order."""
        return tuple(each.name for each in self.classes)


_OF_IMAGENET = "terms of ImageNet: non-commercial research"
# Of a subset of ImageNet at 224x224; all published networks of this size were trained with them.
_IMAGENET: dict[str, Any] = {
    "reader": "folder",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "flip": True,
}
_CIFAR: dict[str, Any] = {
    "reader": "torchvision",
    "shape": (3, 32, 32),
    "flip": True,
    "source": "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    "licence": "none stated; the author asks for the citation",
}

_CIFAR100 = (
    "apple, aquarium fish, baby, bear, beaver, bed, bee, beetle, bicycle, bottle, bowl, boy, bridge, bus, butterfly, "
    "camel, can, castle, caterpillar, cattle, chair, chimpanzee, clock, cloud, cockroach, couch, crab, crocodile, "
    "cup, dinosaur, dolphin, elephant, flatfish, forest, fox, girl, hamster, house, kangaroo, keyboard, lamp, lawn "
    "mower, leopard, lion, lizard, lobster, man, maple tree, motorcycle, mountain, mouse, mushroom, oak tree, orange, "
    "orchid, otter, palm tree, pear, pickup truck, pine tree, plain, plate, poppy, porcupine, possum, rabbit, "
    "raccoon, ray, road, rocket, rose, sea, seal, shark, shrew, skunk, skyscraper, snail, snake, spider, squirrel, "
    "streetcar, sunflower, sweet pepper, table, tank, telephone, television, tiger, tractor, train, trout, tulip, "
    "turtle, wardrobe, whale, willow tree, wolf, woman, worm"
)

DATASETS: dict[str, DatasetInfo] = {
    "digits": DatasetInfo(
        reader="digits",
        shape=(1, 32, 32),
        num_classes=10,
        mean=(0.306,),
        std=(0.324,),
        source="E. Alpaydin, C. Kaynak, 1998; scikit-learn's load_digits, 8x8 scaled to 32x32",
        licence="CC BY 4.0",
    ),
    "cifar10": DatasetInfo(
        published="CIFAR10",
        names="airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck",
        num_classes=10,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        **_CIFAR,
    ),
    "cifar100": DatasetInfo(
        published="CIFAR100",
        names=_CIFAR100,
        num_classes=100,
        mean=(0.5071, 0.4866, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        **_CIFAR,
    ),
    "mnist": DatasetInfo(
        reader="torchvision",
        published="MNIST",
        shape=(1, 28, 28),
        num_classes=10,
        mean=(0.1307,),
        std=(0.3081,),
        padding=2,
        source="Y. LeCun, C. Cortes, C. Burges, 1998",
        licence="CC BY-SA 3.0",
    ),
    "fashion_mnist": DatasetInfo(
        reader="torchvision",
        published="FashionMNIST",
        names=", ".join(datasets.FashionMNIST.classes),
        shape=(1, 28, 28),
        num_classes=10,
        mean=(0.2860,),
        std=(0.3530,),
        padding=2,
        flip=True,
        source="Zalando Research, 2017",
        licence="MIT",
    ),
    "svhn": DatasetInfo(
        reader="torchvision",
        published="SVHN",
        shape=(3, 32, 32),
        num_classes=10,
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1980, 0.2010, 0.1970),
        source="Y. Netzer et al., Reading Digits in Natural Images, 2011",
        licence="non-commercial use",
    ),
    "stl10": DatasetInfo(
        reader="torchvision",
        published="STL10",
        names="airplane, bird, car, cat, deer, dog, horse, monkey, ship, truck",
        shape=(3, 96, 96),
        num_classes=10,
        mean=(0.4467, 0.4398, 0.4066),
        std=(0.2603, 0.2566, 0.2713),
        padding=12,
        flip=True,
        source="A. Coates, H. Lee, A. Ng, 2011; images of ImageNet",
        licence=_OF_IMAGENET,
    ),
    "imagenet": DatasetInfo(
        shape=(3, 224, 224),
        num_classes=1000,
        source="O. Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, 2015 (ILSVRC 2012)",
        licence=_OF_IMAGENET,
        folders=("imagenet", "CLS-LOC", "Data/CLS-LOC", "ILSVRC/Data/CLS-LOC", "imagenet/ILSVRC/Data/CLS-LOC"),
        resize=256,
        obtain="image-net.org gives it to those who register (ILSVRC 2012, classification)",
        **_IMAGENET,
    ),
    "imagenette": DatasetInfo(
        shape=(3, 128, 128),
        num_classes=10,
        source="fast.ai, Imagenette, 2019: ten classes of ImageNet",
        names="tench, English springer, cassette player, chain saw, church, French horn, garbage truck, gas pump, "
        "golf ball, parachute",
        licence=f"Apache 2.0; the images under the {_OF_IMAGENET}",
        folders=("imagenette2-160", "imagenette2-320", "imagenette2", "imagenette160"),
        resize=160,
        **_IMAGENET,
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

_VOC = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


def _voc_color(number: int) -> tuple[int, int, int]:
    """The colour that VOC's files give a class: the number's bits, dealt to the channels from the highest down."""
    channels = [0, 0, 0]
    for bit in range(8):
        channels[bit % 3] |= (number >> bit & 1) << 7 - bit // 3
    return (channels[0], channels[1], channels[2])


SEGMENTATION_DATASETS: dict[str, DatasetInfo] = {
    "camvid": DatasetInfo(
        reader="camvid",
        folders=("camvid",),
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
        folders=("cityscapes",),
        shape=(3, 1024, 2048),
        mean=(0.2869, 0.3251, 0.2839),
        std=(0.1870, 0.1902, 0.1872),
        crop=(768, 768),
        source="M. Cordts et al., The Cityscapes Dataset, 2016; fine annotations, 19 training classes",
        licence="non-commercial research, after registration",
    ),
    "voc": DatasetInfo(
        reader="voc",
        shape=(3, 375, 500),
        num_classes=len(_VOC),
        classes=tuple(PixelClass(name, _voc_color(number)) for number, name in enumerate(_VOC)),
        labels={**{number: number for number in range(len(_VOC))}, 255: IGNORE},
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        crop=(480, 480),
        varying=True,
        source="M. Everingham et al., The PASCAL Visual Object Classes Challenge 2012",
        licence="Flickr's terms of use",
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
