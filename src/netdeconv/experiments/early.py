"""The early version's networks: full and channel deconvolution and batch norm, and what weight decay does to them.

Blocks of 16 channels, as its text recommends. CIFAR-10: 20 epochs. CIFAR-100: 100 epochs, batch 256 and weight decay
5e-3; it names no learning rate, so that of the others is used. Weight decay: VGG-13 on CIFAR-100, 1e-3 and 5e-3.

Command:  netdeconv reproduce early-cifar10 --data-dir DIR
Source:   Ye et al., "Network Deconvolution", early version of 2019: table 1, figures 5, 6 and 8 (a), section 7.2.
Hardware: the paper names none; any GPU.
Minutes:  not measured.
Expected: the numbers beside every row; the larger weight decay lowers the accuracy with batch norm and raises it with
          network deconvolution.
Spread:   not published; one number a network.
Status:   not run here.
"""

from __future__ import annotations

import functools

from netdeconv.experiments.running import published
from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import NORMS, cifar

_BLOCKS = {"group_size": 16}


def _table(dataset: str, epochs: int, batch_size: int, weight_decay: float) -> dict[str, ExperimentRow]:
    shared = {"dataset": dataset, "changes": _BLOCKS, "batch_size": batch_size, "weight_decay": weight_decay}
    return {
        f"{arch} {norm}": ExperimentRow(
            config=cifar(arch, epochs, norm=norm, **shared),  # type: ignore[arg-type]
            expected={published.EARLY: getattr(three, field)},
        )
        for arch, three in published.EARLY_TABLE1[dataset].items()
        for norm, field in {**NORMS, "channel": "channel"}.items()
    }


def _weight_decay() -> dict[str, ExperimentRow]:
    return {
        f"{norm} wd {wd:g}": ExperimentRow(
            config=cifar("vgg13", 100, dataset="cifar100", norm=norm, changes=_BLOCKS, batch_size=256, weight_decay=wd)
        )
        for norm in NORMS
        for wd in (1e-3, 5e-3)
    }


ROWS = {
    "early-cifar10": functools.partial(_table, "cifar10", 20, 128, 1e-3),
    "early-cifar100": functools.partial(_table, "cifar100", 100, 256, 5e-3),
    "weight-decay": _weight_decay,
}
