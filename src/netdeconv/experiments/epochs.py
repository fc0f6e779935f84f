"""Accuracy after a number of epochs of CIFAR-10: batch norm and the settings of whitening, all searched alike.

Each one's learning rate is searched with weight decay 1e-3, in one epoch on 5000 images cut from the training set. The
best is trained on all images with three seeds. Batch norm also runs at the paper's rate.

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

from netdeconv.experiments.running.contest import Contest, Plan
from netdeconv.experiments.running.experiment import Reproduced, Rows
from netdeconv.experiments.running.families import EARLY, NAMES, SEEDS, cifar, finals, mean, over_seeds

RATES, CUT = (0.1, 0.05, 0.02, 0.01, 0.005), 5000
BATCH_NORM, AS_PUBLISHED = "batch norm", "batch norm at the paper's rate"
# The paper's early version, VGG-11 after 20 epochs.
_EARLY = {BATCH_NORM: 89.15, AS_PUBLISHED: 89.15, "channel": 90.23, "full16": 91.33}


def plan(arch: str, width: float, epochs: int) -> Plan:
    """Return the searches and final runs of a study."""
    base = cifar(arch, epochs, width=width, cut=CUT)
    return Plan(base, Contest(variants=tuple(NAMES.values()), lrs=RATES, seeds=SEEDS, search_epochs=1))


def rows(arch: str, width: float, epochs: int) -> Rows:
    """Return the searches of the learning rates, and batch norm at the paper's rate."""
    published = finals(cifar(arch, epochs, width=width), AS_PUBLISHED)
    return {**plan(arch, width, epochs).rows(), **_with_expected(published)}


def then(arch: str, width: float, epochs: int, found: Mapping[str, Reproduced]) -> Rows:
    """Return the final runs, as soon as the searches are done."""
    return _with_expected(plan(arch, width, epochs).then(found))


def _with_expected(rows: Rows) -> Rows:
    found = dict(rows)
    for label, row in rows.items():
        name, network = label.partition(", seed")[0], row.config.network
        if name in _EARLY and (network.arch, row.config.epochs) == ("vgg11", 20):
            found[label] = dataclasses.replace(row, expected={EARLY: _EARLY[name]})
    return found


def summary(runs: Sequence[Reproduced]) -> list[dict[str, Any]]:
    """One line for every normalisation: accuracies over the seeds, seconds against batch norm's."""
    own: dict[str, list[Reproduced]] = {}
    for run in runs:
        if ", seed" in run.label:
            own.setdefault(run.label.partition(", seed")[0], []).append(run)
    base = mean([run.seconds for run in own.get(BATCH_NORM, [])])
    lines = []
    for name, of_name in own.items():
        seconds = mean([run.seconds for run in of_name])
        ratio = round(seconds / base, 2) if seconds and base else None
        line = {"normalisation": name, **over_seeds(of_name, "accuracy %"), "seconds": seconds}
        lines.append({**line, "seconds / batch norm": ratio})
    return lines


_STUDIES = {
    "vgg11-three-epochs": ("vgg11", 1.0, 3),
    "vgg11-twenty-epochs": ("vgg11", 1.0, 20),
    "resnet18-twenty-epochs": ("resnet18", 0.5, 20),
}
ROWS = {name: functools.partial(rows, *study) for name, study in _STUDIES.items()}
THEN = {name: functools.partial(then, *study) for name, study in _STUDIES.items()}
