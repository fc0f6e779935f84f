"""VGG-13, DenseNet-121 and ResNet-50 on CIFAR-100, 100 epochs: full and channel deconvolution, batch norm.

Batch 256 and weight decay 5e-3, as its text says; it names no learning rate, so that of the others is used.

Command:  netdeconv reproduce early-cifar100 --data-dir DIR
Source:   Ye et al., "Network Deconvolution", early version of 2019, table 1 (right) and figure 6.
Hardware: the paper names none; any GPU.
Minutes:  not measured.
Expected: 74.74, 80.27, 80.43 % full; 74.31, 79.09, 76.62 % channel; 70.57, 79.2, 77.78 % batch norm.
Spread:   not published; one number a network.
Status:   not run here.
"""

from __future__ import annotations

from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import early_table1


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    return early_table1("cifar100", 100, batch_size=256, weight_decay=5e-3)
