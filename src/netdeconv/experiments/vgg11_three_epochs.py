"""VGG-11 on CIFAR-10, three epochs, test accuracy after each.

Command:  python -m benchmarks.accuracy vgg11-three-epochs --data-dir DIR
Source:   this project: batch norm at the searched rate and at the paper's, against the structures of whitening.
Hardware: two cores.
Minutes:  112, with other processes on the same cores.
Expected: batch norm 78.70 % (searched rate), 48.47 % (the paper's); channel 83.01, full 16 84.74, full 64 85.20 %.
Spread:   one seed here.
Status:   measured here, results/cifar10-vgg11-three-epochs.json.
"""

from __future__ import annotations

import dataclasses

from netdeconv.experiments.running.comparison import plan
from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import PAPER_LR, cifar

# What the experiment vgg11-search found.
SEARCHED_LR = 0.01


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    base = dataclasses.replace(cifar("vgg11", 3), evaluate_all_statistics=True)
    names = ["batch_norm", "channel", "full16", "paper"]
    runs = plan(base, names, baseline_lrs=[SEARCHED_LR, PAPER_LR])
    return {label: ExperimentRow(config=config) for label, config in runs.items()}
