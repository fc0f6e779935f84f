"""Numbers that others published, top-1 in per cent on the test images: what experiments are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

PAPER, STUDY, EARLY, STUDENTS = "paper", "study", "early version", "students"
SOURCES: Mapping[str, str] = {
    PAPER: "Ye et al., Network Deconvolution, ICLR 2020",
    STUDY: "[Re] Network Deconvolution, ReScience C 10(1) #4, 2025, mean of three seeds on CIFAR-10, one on ImageNet",
    EARLY: "the paper's early version, 2019",
    STUDENTS: "an independent study by students",
}


class Pair(NamedTuple):
    """With batch norm, and with network deconvolution."""

    batch_norm: float
    full: float


# By data set and epochs, of the paper's ten networks in its order.
TABLE1: Mapping[tuple[str, int], Mapping[str, Pair]] = {
    ("cifar10", 1): {
        "vgg16": Pair(14.12, 74.18),
        "resnet18": Pair(56.25, 72.89),
        "preact_resnet18": Pair(55.15, 72.70),
        "densenet121": Pair(59.56, 76.63),
        "resnext29_32x4d": Pair(52.14, 69.22),
        "mobilenet_v2": Pair(54.29, 65.40),
        "dpn92": Pair(34.00, 53.02),
        "pnasnet_a": Pair(21.81, 64.19),
        "senet18": Pair(57.63, 67.21),
        "efficientnet_b0": Pair(35.40, 55.67),
    },
    ("cifar10", 20): {
        "vgg16": Pair(90.07, 93.25),
        "resnet18": Pair(92.64, 94.07),
        "preact_resnet18": Pair(91.93, 94.10),
        "densenet121": Pair(93.25, 94.89),
        "resnext29_32x4d": Pair(93.12, 94.05),
        "mobilenet_v2": Pair(89.86, 92.52),
        "dpn92": Pair(92.87, 93.74),
        "pnasnet_a": Pair(75.85, 81.97),
        "senet18": Pair(92.37, 94.11),
        "efficientnet_b0": Pair(84.21, 86.78),
    },
    ("cifar10", 100): {
        "vgg16": Pair(93.58, 94.56),
        "resnet18": Pair(94.87, 95.40),
        "preact_resnet18": Pair(94.37, 95.44),
        "densenet121": Pair(94.71, 95.88),
        "resnext29_32x4d": Pair(95.15, 95.80),
        "mobilenet_v2": Pair(90.51, 94.35),
        "dpn92": Pair(95.14, 95.82),
        "pnasnet_a": Pair(81.22, 84.45),
        "senet18": Pair(94.57, 95.38),
        "efficientnet_b0": Pair(86.07, 88.42),
    },
    ("cifar100", 1): {
        "vgg16": Pair(2.01, 37.94),
        "resnet18": Pair(16.10, 35.73),
        "preact_resnet18": Pair(15.17, 36.52),
        "densenet121": Pair(17.90, 42.91),
        "resnext29_32x4d": Pair(17.98, 30.93),
        "mobilenet_v2": Pair(15.88, 29.01),
        "dpn92": Pair(8.84, 21.89),
        "pnasnet_a": Pair(10.49, 36.52),
        "senet18": Pair(16.60, 32.22),
        "efficientnet_b0": Pair(19.03, 22.40),
    },
    ("cifar100", 20): {
        "vgg16": Pair(63.22, 71.97),
        "resnet18": Pair(72.67, 76.55),
        "preact_resnet18": Pair(70.79, 76.04),
        "densenet121": Pair(74.79, 77.63),
        "resnext29_32x4d": Pair(74.26, 77.35),
        "mobilenet_v2": Pair(66.31, 72.33),
        "dpn92": Pair(74.87, 76.12),
        "pnasnet_a": Pair(44.60, 55.65),
        "senet18": Pair(71.10, 75.79),
        "efficientnet_b0": Pair(57.23, 57.59),
    },
    ("cifar100", 100): {
        "vgg16": Pair(72.75, 75.32),
        "resnet18": Pair(77.70, 78.63),
        "preact_resnet18": Pair(76.14, 79.14),
        "densenet121": Pair(77.99, 80.69),
        "resnext29_32x4d": Pair(78.60, 80.34),
        "mobilenet_v2": Pair(67.52, 74.90),
        "dpn92": Pair(78.87, 80.38),
        "pnasnet_a": Pair(54.52, 59.44),
        "senet18": Pair(76.41, 78.63),
        "efficientnet_b0": Pair(59.09, 62.37),
    },
}

# The study's, where they are test accuracies.
TABLE1_STUDY: Mapping[tuple[str, int], Mapping[str, Pair]] = {
    ("cifar10", 1): {
        "vgg16": Pair(14.38, 74.20),
        "resnet18": Pair(46.56, 58.69),
        "densenet121": Pair(55.78, 76.31),
    },
    ("cifar10", 20): {"vgg16": Pair(90.36, 92.83), "resnet18": Pair(92.35, 94.20)},
}


class Three(NamedTuple):
    """With network deconvolution, batch norm, and channel deconvolution only."""

    full: float
    batch_norm: float
    channel: float


# Table 1 of the early version: 20 epochs, and 100 epochs.
EARLY_TABLE1: Mapping[str, Mapping[str, Three]] = {
    "cifar10": {
        "vgg11": Three(91.33, 89.15, 90.23),
        "densenet121": Three(94.71, 93.45, 93.65),
        "resnet50": Three(94.05, 90.6, 91.7),
    },
    "cifar100": {
        "vgg13": Three(74.74, 70.57, 74.31),
        "densenet121": Three(80.27, 79.2, 79.09),
        "resnet50": Three(80.43, 77.78, 76.62),
    },
}

# ImageNet, 90 epochs: by network and normalisation, by source.
IMAGENET: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "vgg11": {
        "none": {PAPER: 69.02},
        "batch_norm": {PAPER: 70.38, STUDY: 71.35},
        "channel": {EARLY: 71.45},
        "full": {PAPER: 71.95, STUDY: 71.95, EARLY: 71.74},
    },
    "resnet18": {
        "batch_norm": {PAPER: 69.76, STUDY: 70.72},
        "channel": {EARLY: 69.80},
        "full": {PAPER: 71.24, STUDY: 71.58, EARLY: 70.65},
    },
    "densenet121": {
        "batch_norm": {PAPER: 74.65, STUDY: 75.88},
        "full": {PAPER: 75.73, STUDY: 75.67},
    },
}

# VGG-16 on CIFAR-10, 20 epochs, by channels in a block.
BLOCK_SIZE: Mapping[int, float] = {32: 92.9, 64: 93.1, 128: 93.22}
