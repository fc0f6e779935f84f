"""The tables of the paper and of its early version: CIFAR-10 and CIFAR-100 after 1 to 100 epochs, ImageNet after 90.

Table 1 has ten networks with batch norm and whitened. The published EfficientNet is whitened at its ends only: it has a
row of its own, and the one that is whitened throughout has no expected number. The early version has blocks of 16
channels, and channel deconvolution beside; for CIFAR-100 it names no learning rate, so that of the others is used.
ImageNet has blocks of 64 in all layers.

Command:  netdeconv reproduce table1-epoch1 --data-dir DIR
Source:   Ye et al., "Network Deconvolution", ICLR 2020, table 1, and its early version of 2019, tables 1 and 2; some of
          it was retrained in ReScience C 10(1) #4, 2025 ("study"), with three seeds on CIFAR-10.
Hardware: any GPU; an epoch of VGG-16 takes about an hour of two cores. ImageNet needs several, a row at a time:
          torchrun --nproc-per-node 8 -m netdeconv train --experiment imagenet-resnet18 --row paper --data-dir DIR
Minutes:  not measured as a whole; see results/cifar10-one-epoch.json for seven networks and one epoch.
Expected: the numbers of the paper, its early version and the study beside every row.
Spread:   paper and study differ by up to 14 points after one epoch; retraining moved ImageNet's batch norm by one.
Status:   measured here for one epoch of seven networks on CIFAR-10, one seed; the others not.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

from netdeconv import models
from netdeconv.data import DataConfig
from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import EARLY, PAPER_LR, cifar, norm_config
from netdeconv.tasks import Classification
from netdeconv.training import NetworkConfig, OptimizerConfig, TrainingConfig

PAPER, STUDY = "paper", "study"
_NORMS = ("batch_norm", "paper")
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
COLUMNS = [(dataset, epochs) for dataset in ("cifar10", "cifar100") for epochs in (1, 20, 100)]
# The study's, where they are test accuracies, by data set, epochs and network.
_STUDY: Mapping[tuple[str, int, str], tuple[float, float]] = {
    ("cifar10", 1, "vgg16"): (14.38, 74.20),
    ("cifar10", 1, "resnet18"): (46.56, 58.69),
    ("cifar10", 1, "densenet121"): (55.78, 76.31),
    ("cifar10", 20, "vgg16"): (90.36, 92.83),
    ("cifar10", 20, "resnet18"): (92.35, 94.20),
}
# The early version: batch norm, full and channel deconvolution, after 20 epochs of CIFAR-10 and 100 of CIFAR-100.
_EARLY: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "cifar10": {
        "vgg11": (89.15, 91.33, 90.23),
        "densenet121": (93.45, 94.71, 93.65),
        "resnet50": (90.6, 94.05, 91.7),
    },
    "cifar100": {
        "vgg13": (70.57, 74.74, 74.31),
        "densenet121": (79.2, 80.27, 79.09),
        "resnet50": (77.78, 80.43, 76.62),
    },
}
# By network and normalisation: torchvision's name of the network that it starts from, and what was found.
_IMAGENET: Mapping[str, Mapping[str, tuple[str, Mapping[str, float]]]] = {
    "vgg11": {
        "none": ("vgg11", {PAPER: 69.02}),
        "batch_norm": ("vgg11_bn", {PAPER: 70.38, STUDY: 71.35}),
        "channel": ("vgg11", {EARLY: 71.45}),
        "paper": ("vgg11", {PAPER: 71.95, STUDY: 71.95, EARLY: 71.74}),
    },
    "resnet18": {
        "batch_norm": ("resnet18", {PAPER: 69.76, STUDY: 70.72}),
        "channel": ("resnet18", {EARLY: 69.80}),
        "paper": ("resnet18", {PAPER: 71.24, STUDY: 71.58, EARLY: 70.65}),
    },
    "densenet121": {
        "batch_norm": ("densenet121", {PAPER: 74.65, STUDY: 75.88}),
        "paper": ("densenet121", {PAPER: 75.73, STUDY: 75.67}),
    },
}


def table1(dataset: str, epochs: int) -> dict[str, ExperimentRow]:
    """Return one pair of columns of the paper's table 1."""
    found = dict(_table1(dataset, epochs))
    throughout = found["efficientnet_b0 paper"]
    norm = dataclasses.replace(throughout.config.network.norm, published=True)
    at_its_ends = dataclasses.replace(
        throughout.config, network=dataclasses.replace(throughout.config.network, norm=norm)
    )
    found["efficientnet_b0 paper, published"] = dataclasses.replace(throughout, config=at_its_ends)
    found["efficientnet_b0 paper"] = dataclasses.replace(throughout, expected={})
    return found


def _table1(dataset: str, epochs: int) -> Iterator[tuple[str, ExperimentRow]]:
    place = 2 * COLUMNS.index((dataset, epochs))
    for words in _TABLE1.strip().splitlines():
        arch, *numbers = words.split()
        for which, norm in enumerate(_NORMS):
            expected = {PAPER: float(numbers[place + which])}
            if (again := _STUDY.get((dataset, epochs, arch))) is not None:
                expected[STUDY] = again[which]
            config = cifar(arch, epochs, dataset=dataset, norm=norm)
            yield f"{arch} {norm}", ExperimentRow(config=config, expected=expected)


def early(dataset: str) -> dict[str, ExperimentRow]:
    """Return the early version's table of a data set."""
    epochs, batch_size, weight_decay = (20, 128, 1e-3) if dataset == "cifar10" else (100, 256, 5e-3)
    shared: dict[str, Any] = {"dataset": dataset, "batch_size": batch_size, "weight_decay": weight_decay}
    return {
        f"{arch} {norm}": ExperimentRow(
            config=cifar(arch, epochs, norm=norm, changes={"group_size": 16}, **shared), expected={EARLY: score}
        )
        for arch, scores in _EARLY[dataset].items()
        for norm, score in zip((*_NORMS, "channel"), scores, strict=True)
    }


def imagenet(name: str) -> dict[str, ExperimentRow]:
    """Return a network's runs on ImageNet: SGD, cosine decay at every step, batch 256, weight decay 1e-4, 90 epochs."""
    lr = 0.01 if name == "vgg11" else PAPER_LR
    return {
        norm: ExperimentRow(
            config=TrainingConfig(
                task=Classification(),
                data=DataConfig(dataset="imagenet", batch_size=256, num_workers=8),
                network=NetworkConfig(
                    arch=f"{models.IMAGENET}{start}", norm=norm_config(norm, {"linear_group_size": 64})
                ),
                optimizer=OptimizerConfig(name="SGD", lr=lr, momentum=0.9, weight_decay=1e-4, schedule="cosine"),
                epochs=90,
            ),
            expected=expected,
        )
        for norm, (start, expected) in _IMAGENET[name].items()
    }


ROWS = {
    **{
        f"table1-{'' if dataset == 'cifar10' else f'{dataset}-'}epoch{epochs}": functools.partial(
            table1, dataset, epochs
        )
        for dataset, epochs in COLUMNS
    },
    **{f"early-{dataset}": functools.partial(early, dataset) for dataset in _EARLY},
    **{f"imagenet-{name}": functools.partial(imagenet, name) for name in _IMAGENET},
}
