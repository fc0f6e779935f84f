"""VGG-11, DenseNet-121 and ResNet-50 on CIFAR-10, 20 epochs: full and channel deconvolution, batch norm.

Command:  netdeconv reproduce early-cifar10 --data-dir DIR
Source:   Ye et al., "Network Deconvolution", early version of 2019, table 1 (left) and figure 5.
Hardware: the paper names none; any GPU.
Minutes:  not measured.
Expected: 91.33, 94.71, 94.05 % full; 90.23, 93.65, 91.7 % channel; 89.15, 93.45, 90.6 % batch norm.
Spread:   not published; one number a network.
Status:   not run here.
"""

from __future__ import annotations

from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import early_table1


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    return early_table1("cifar10", 20)
