"""Ten networks on CIFAR-10, 20 epochs, batch norm and network deconvolution.

Command:  netdeconv reproduce table1-epoch20 --data-dir DIR
Source:   Ye et al., "Network Deconvolution", ICLR 2020, table 1; settings of its published program.
Hardware: the paper names none for this table; any GPU, or two cores for the smallest networks.
Minutes:  not measured.
Expected: 75.85 to 93.25 % with batch norm, 81.97 to 94.89 % with network deconvolution.
Spread:   the paper gives one number a network; the study's means of three seeds differ from it by up to half a point.
Status:   not run here.
"""

from __future__ import annotations

from netdeconv.experiments.families import table1
from netdeconv.experiments.recipe import RecipeRow


def rows() -> dict[str, RecipeRow]:
    """Return the runs by label."""
    return table1("cifar10", 20)
