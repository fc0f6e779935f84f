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


# Batch norm and network deconvolution: CIFAR-10 after 1, 20, 100 epochs, then CIFAR-100 likewise.
_TABLE1 = """
vgg16           14.12 74.18  90.07 93.25  93.58 94.56    2.01 37.94  63.22 71.97  72.75 75.32
resnet18        56.25 72.89  92.64 94.07  94.87 95.40   16.10 35.73  72.67 76.55  77.70 78.63
preact_resnet18 55.15 72.70  91.93 94.10  94.37 95.44   15.17 36.52  70.79 76.04  76.14 79.14
densenet121     59.56 76.63  93.25 94.89  94.71 95.88   17.90 42.91  74.79 77.63  77.99 80.69
resnext29_32x4d 52.14 69.22  93.12 94.05  95.15 95.80   17.98 30.93  74.26 77.35  78.60 80.34
mobilenet_v2    54.29 65.40  89.86 92.52  90.51 94.35   15.88 29.01  66.31 72.33  67.52 74.90
dpn92           34.00 53.02  92.87 93.74  95.14 95.82    8.84 21.89  74.87 76.12  78.87 80.38
pnasnet_a       21.81 64.19  75.85 81.97  81.22 84.45   10.49 36.52  44.60 55.65  54.52 59.44
senet18         57.63 67.21  92.37 94.11  94.57 95.38   16.60 32.22  71.10 75.79  76.41 78.63
efficientnet_b0 35.40 55.67  84.21 86.78  86.07 88.42   19.03 22.40  57.23 57.59  59.09 62.37
"""
_COLUMNS = [(dataset, epochs) for dataset in ("cifar10", "cifar100") for epochs in (1, 20, 100)]
_NUMBERS = {words[0]: list(map(float, words[1:])) for words in map(str.split, _TABLE1.strip().splitlines())}
# By data set and epochs, of the paper's ten networks in its order.
TABLE1: Mapping[tuple[str, int], Mapping[str, Pair]] = {
    column: {arch: Pair(*numbers[2 * place : 2 * place + 2]) for arch, numbers in _NUMBERS.items()}
    for place, column in enumerate(_COLUMNS)
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
