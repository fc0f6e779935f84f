"""Ten networks on CIFAR-10, one epoch, batch norm and network deconvolution.

Command:  netdeconv reproduce table1-epoch1 --data-dir DIR
Source:   Ye et al., "Network Deconvolution", ICLR 2020, table 1; settings of its published program.
Hardware: the paper names none for this table; any GPU, or two cores for the smallest networks.
Minutes:  57 for VGG-16 full on two busy cores; the other rows were not timed.
Expected: 14.12 to 59.56 % with batch norm, 53.02 to 76.63 % with network deconvolution.
Spread:   the paper gives one number a network; the study's means of three seeds differ from it by up to 14 points
          (ResNet-18).
Status:   measured here in part: VGG-16 full, results/cifar10-vgg16-one-epoch.json; see also one-epoch.
"""

from __future__ import annotations

from netdeconv.experiments.families import table1
from netdeconv.experiments.recipe import RecipeRow


def rows() -> dict[str, RecipeRow]:
    """Return the runs by label."""
    return table1("cifar10", 1)
