"""VGG-16 on CIFAR-10, one epoch, the paper's setting (its full: 74.18 %).

Command:  python -m benchmarks.accuracy vgg16-one-epoch --data-dir DIR
Source:   Ye et al., "Network Deconvolution", ICLR 2020, table 1.
Hardware: two cores.
Minutes:  57, with other processes on the same cores.
Expected: 74.18 %; 74.20 % in the study.
Spread:   one seed here.
Status:   measured here, results/cifar10-vgg16-one-epoch.json.
"""

from __future__ import annotations

import dataclasses

from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import table1


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    row = table1("cifar10", 1)["vgg16 paper"]
    return {"paper": dataclasses.replace(row, config=dataclasses.replace(row.config, evaluate_all_statistics=True))}
