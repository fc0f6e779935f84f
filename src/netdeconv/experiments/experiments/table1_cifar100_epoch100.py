"""Ten networks on CIFAR-100, 100 epochs, batch norm and network deconvolution.

Command:  netdeconv reproduce table1-cifar100-epoch100 --data-dir DIR
Source:   Ye et al., "Network Deconvolution", ICLR 2020, table 1; settings of its published program.
Hardware: the paper names none for this table; any GPU, or two cores for the smallest networks.
Minutes:  not measured.
Expected: 54.52 to 78.87 % with batch norm, 59.44 to 80.69 % with network deconvolution.
Spread:   not published; one number a network.
Status:   not run here.
"""

from __future__ import annotations

from netdeconv.experiments.families import table1
from netdeconv.experiments.recipe import RecipeRow


def rows() -> dict[str, RecipeRow]:
    """Return the runs by label."""
    return table1("cifar100", 100)
