"""The paper's table: ten networks on CIFAR-10 and CIFAR-100 after 1, 20 and 100 epochs, batch norm and whitened.

The other five settings are table1-epoch20, table1-epoch100 and table1-cifar100-epoch1, -epoch20, -epoch100.

Command:  netdeconv reproduce table1-epoch1 --data-dir DIR
Source:   Ye et al., "Network Deconvolution", ICLR 2020, table 1.
Hardware: any GPU; an epoch of VGG-16 takes about an hour of two cores.
Minutes:  not measured as a whole; see results/cifar10-one-epoch.json for seven networks and one epoch.
Expected: the table's numbers, and those of the study that retrained some of them, beside every row.
Spread:   the study has three seeds; it and the paper differ by up to 14 points after one epoch.
Status:   measured here for one epoch of seven networks on CIFAR-10, one seed; the others not.
"""

from __future__ import annotations

import functools

from netdeconv.experiments.running.families import table1

ROWS = {
    f"table1-{'' if dataset == 'cifar10' else f'{dataset}-'}epoch{epochs}": functools.partial(table1, dataset, epochs)
    for dataset in ("cifar10", "cifar100")
    for epochs in (1, 20, 100)
}
