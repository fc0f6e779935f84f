"""Batch norm's learning rate: VGG-11, one epoch of CIFAR-10, on 5000 images cut from train.

Command:  python -m benchmarks.accuracy vgg11-search --data-dir DIR
Source:   this project: a baseline whose learning rate was searched, never on test images.
Hardware: two cores.
Minutes:  28, with other processes on the same cores.
Expected: 0.01 is best, 65.62 % of the cut images.
Spread:   one seed here.
Status:   measured here, results/cifar10-vgg11-search.json.
"""

from __future__ import annotations

import dataclasses

from netdeconv.experiments.running.comparison import plan
from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import cifar

RATES = (0.05, 0.02, 0.01, 0.005, 0.002)


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    base = cifar("vgg11", 1)
    base = dataclasses.replace(base, data=dataclasses.replace(base.data, validation_size=5000))
    runs = plan(base, ["batch_norm"], baseline_lrs=RATES)
    return {label: ExperimentRow(config=config) for label, config in runs.items()}
