"""Ten networks on CIFAR-100, one epoch, batch norm and network deconvolution.

Command:  netdeconv reproduce table1-cifar100-epoch1 --data-dir DIR
Source:   Ye et al., "Network Deconvolution", ICLR 2020, table 1; settings of its published program.
Hardware: the paper names none for this table; any GPU, or two cores for the smallest networks.
Minutes:  not measured.
Expected: 2.01 to 19.03 % with batch norm, 21.89 to 42.91 % with network deconvolution.
Spread:   not published; one number a network.
Status:   not run here.
"""

from __future__ import annotations

from netdeconv.experiments.families import table1
from netdeconv.experiments.recipe import RecipeRow


def rows() -> dict[str, RecipeRow]:
    """Return the runs by label."""
    return table1("cifar100", 1)
