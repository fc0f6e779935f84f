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

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from netdeconv.experiments.running import published
from netdeconv.experiments.running.experiment import ExperimentRow, Reproduced
from netdeconv.experiments.running.families import NAMES, PAPER_LR, cifar, mean, spread, with_rates
from netdeconv.experiments.running.search_space import Space

RATES, WEIGHT_DECAYS, DECAY, CUT, SEEDS = (0.1, 0.05, 0.02, 0.01, 0.005), (5e-4, 5e-3), 1e-3, 5000, (0, 1, 2)
AS_PUBLISHED = "batch norm at the paper's rate"
_EARLY = {"batch norm": 89.15, AS_PUBLISHED: 89.15, "channel": 90.23, "full 16": 91.33}


def rows(arch: str, width: float, epochs: int) -> dict[str, ExperimentRow]:
    """Return the searches of the learning rates, and batch norm at the paper's rate."""
    searches = {f"{name}, search lr": _search(arch, width, norm, RATES, (DECAY,)) for name, norm in NAMES.items()}
    return searches | _finals(arch, width, epochs, AS_PUBLISHED, PAPER_LR, DECAY)


def then(arch: str, width: float, epochs: int, found: Mapping[str, Reproduced]) -> dict[str, ExperimentRow]:
    """Return the searches of the weight decays, and the final runs, as soon as their settings are known."""
    more: dict[str, ExperimentRow] = {}
    for name, norm in NAMES.items():
        first, label = found[f"{name}, search lr"].best, f"{name}, search weight decay"
        if first is None:
            continue
        more[label] = _search(arch, width, norm, (first.lr,), WEIGHT_DECAYS)
        second = found[label].best if label in found else None
        if second is not None:
            best = max(first, second, key=lambda trial: trial.score or 0.0)
            more |= _finals(arch, width, epochs, name, best.lr, best.weight_decay)
    return more


def summary(runs: Sequence[Reproduced]) -> list[dict[str, Any]]:
    """One line for every normalisation: accuracies over the seeds, seconds against batch norm's."""
    finals = {name: [run for run in runs if run.label.startswith(f"{name}, seed")] for name in (AS_PUBLISHED, *NAMES)}
    base = mean([run.seconds for run in finals["batch norm"]])
    return [_line(name, own, base) for name, own in finals.items() if own]


def _line(name: str, own: Sequence[Reproduced], base: float | None) -> dict[str, Any]:
    scores = [0.0 if run.failure else run.score or 0.0 for run in own]
    seconds = mean([run.seconds for run in own])
    return {
        "normalisation": name,
        "accuracy %": mean(scores),
        "spread": spread(scores),
        "seeds": len(own),
        "seconds": seconds,
        "seconds / batch norm": round(seconds / base, 2) if seconds and base else None,
    }


def _search(arch: str, width: float, norm: str, lrs: tuple[float, ...], decays: tuple[float, ...]) -> ExperimentRow:
    return ExperimentRow(config=cifar(arch, 1, norm=norm, width=width, cut=CUT), space=Space.of(lrs, decays))


def _finals(arch: str, width: float, epochs: int, name: str, lr: float, decay: float) -> dict[str, ExperimentRow]:
    base = with_rates(cifar(arch, epochs, norm=NAMES.get(name, "batch_norm"), width=width), lr, decay)
    early = {published.EARLY: _EARLY[name]} if (arch, epochs) == ("vgg11", 20) and name in _EARLY else {}
    return {
        f"{name}, seed {seed}": ExperimentRow(config=with_rates(base, lr, decay, seed=seed), expected=early)
        for seed in SEEDS
    }


_STUDIES = {
    "vgg11-three-epochs": ("vgg11", 1.0, 3),
    "vgg11-twenty-epochs": ("vgg11", 1.0, 20),
    "resnet18-twenty-epochs": ("resnet18", 0.5, 20),
}
ROWS = {name: functools.partial(rows, *study) for name, study in _STUDIES.items()}
THEN = {name: functools.partial(then, *study) for name, study in _STUDIES.items()}
