"""Accuracy after a number of epochs of CIFAR-10: batch norm and the settings of whitening, all searched alike.

First each one's learning rate is searched with weight decay 1e-3, in one epoch on 5000 images cut from the training
set; then its weight decay, with the best rate. The best pair is trained on all images with three seeds. Batch norm also
runs at the paper's rate and weight decay.

Command:  netdeconv reproduce vgg11-three-epochs --data-dir DIR --export results/cifar10-vgg11-three-epochs.json
Source:   this project; after 20 epochs the paper's early version has numbers for VGG-11, which stand beside the rows.
Hardware: two cores for three epochs; a GPU for twenty.
Minutes:  about 10 for an epoch of the searches' VGG-11 on two cores that are fast at bfloat16.
Expected: batch norm 78.70 % after three epochs (its rate searched) and 48.47 % at the paper's rate; channel 83.01 %.
Spread:   one seed so far.
Status:   measured here for batch norm and channel, three epochs, by an earlier form of this experiment, which searched
          batch norm's rate alone: results/cifar10-vgg11-three-epochs.json and results/cifar10-vgg11-search.json.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from netdeconv.experiments.running.experiment import ExperimentRow, Reproduced, Rows, best_of
from netdeconv.experiments.running.families import (
    EARLY,
    NAMES,
    PAPER_LR,
    cifar,
    finals,
    mean,
    over_seeds,
    searched,
    with_rates,
)
from netdeconv.training.config import TrainingConfig

RATES, WEIGHT_DECAYS, DECAY, CUT = (0.1, 0.05, 0.02, 0.01, 0.005), (5e-4, 5e-3), 1e-3, 5000
AS_PUBLISHED = "batch norm at the paper's rate"
_EARLY = {"batch norm": 89.15, AS_PUBLISHED: 89.15, "channel": 90.23, "full 16": 91.33}


def rows(arch: str, width: float, epochs: int) -> Rows:
    """Return the searches of the learning rates, and batch norm at the paper's rate."""
    found: dict[str, ExperimentRow] = {}
    for name, norm in NAMES.items():
        found |= searched(_on_cut_images(arch, width, norm), f"{name}, search", RATES, (DECAY,))
    return found | _finals(arch, width, epochs, AS_PUBLISHED, PAPER_LR, DECAY)


def then(arch: str, width: float, epochs: int, found: Mapping[str, Reproduced]) -> Rows:
    """Return the searches of the weight decays, and the final runs, as soon as their settings are known."""
    more: dict[str, ExperimentRow] = {}
    for name, norm in NAMES.items():
        first, label = best_of(found, f"{name}, search lr "), f"{name}, search weight decay"
        if first is not None:
            more |= searched(_on_cut_images(arch, width, norm), label, (first.optimizer.lr,), WEIGHT_DECAYS)
        best = best_of(found, f"{name}, search") if best_of(found, label) is not None else None
        if best is not None:
            more |= _finals(arch, width, epochs, name, best.optimizer.lr, best.optimizer.weight_decay)
    return more


def summary(runs: Sequence[Reproduced]) -> list[dict[str, Any]]:
    """One line for every normalisation: accuracies over the seeds, seconds against batch norm's."""
    own = {name: [run for run in runs if run.label.startswith(f"{name}, seed")] for name in (AS_PUBLISHED, *NAMES)}
    base = mean([run.seconds for run in own["batch norm"]])
    lines = []
    for name, of_name in own.items():
        seconds = mean([run.seconds for run in of_name])
        ratio = round(seconds / base, 2) if seconds and base else None
        line = {"normalisation": name, **over_seeds(of_name, "accuracy %"), "seconds": seconds}
        lines += [{**line, "seconds / batch norm": ratio}] if of_name else []
    return lines


def _on_cut_images(arch: str, width: float, norm: str) -> TrainingConfig:
    return cifar(arch, 1, norm=norm, width=width, cut=CUT)


def _finals(arch: str, width: float, epochs: int, name: str, lr: float, decay: float) -> dict[str, ExperimentRow]:
    base = with_rates(cifar(arch, epochs, norm=NAMES.get(name, "batch_norm"), width=width), lr, decay)
    early = {EARLY: _EARLY[name]} if (arch, epochs) == ("vgg11", 20) and name in _EARLY else {}
    return {label: dataclasses.replace(row, expected=early) for label, row in finals(base, name).items()}


_STUDIES = {
    "vgg11-three-epochs": ("vgg11", 1.0, 3),
    "vgg11-twenty-epochs": ("vgg11", 1.0, 20),
    "resnet18-twenty-epochs": ("resnet18", 0.5, 20),
}
ROWS = {name: functools.partial(rows, *study) for name, study in _STUDIES.items()}
THEN = {name: functools.partial(then, *study) for name, study in _STUDIES.items()}
