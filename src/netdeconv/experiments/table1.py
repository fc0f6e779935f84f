"""The paper's table: ten networks on CIFAR-10 or CIFAR-100 after 1, 20 or 100 epochs, batch norm and whitened.

The published EfficientNet is whitened at its ends only; it has a row of its own, and the one that is whitened
throughout has no expected number.

Command:  netdeconv reproduce table1-epoch1 --data-dir DIR
Source:   Ye et al., "Network Deconvolution", ICLR 2020, table 1.
Hardware: any GPU; an epoch of VGG-16 takes about an hour of two cores.
Minutes:  not measured as a whole; see results/cifar10-one-epoch.json for seven networks and one epoch.
Expected: the table's numbers, and those of the study that retrained some of them, beside every row.
Spread:   the study has three seeds; it and the paper differ by up to 14 points after one epoch.
Status:   measured here for one epoch of seven networks on CIFAR-10, one seed; the others not.
"""

from __future__ import annotations

import dataclasses
import functools

from netdeconv.experiments.running import published
from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import NORMS, cifar
from netdeconv.training import TrainingConfig


def rows(dataset: str, epochs: int) -> dict[str, ExperimentRow]:
    """Return one column of the table."""
    found: dict[str, ExperimentRow] = {}
    for arch, pair in published.TABLE1[dataset, epochs].items():
        again = published.TABLE1_STUDY.get((dataset, epochs), {}).get(arch)
        for norm, field in NORMS.items():
            expected = {published.PAPER: getattr(pair, field)}
            if again is not None:
                expected[published.STUDY] = getattr(again, field)
            found[f"{arch} {norm}"] = ExperimentRow(
                config=cifar(arch, epochs, dataset=dataset, norm=norm), expected=expected
            )
    throughout = found["efficientnet_b0 paper"]
    found["efficientnet_b0 paper, published"] = dataclasses.replace(throughout, config=_at_its_ends(throughout.config))
    found["efficientnet_b0 paper"] = dataclasses.replace(throughout, expected={})
    return found


def _at_its_ends(config: TrainingConfig) -> TrainingConfig:
    norm = dataclasses.replace(config.network.norm, published=True)
    return dataclasses.replace(config, network=dataclasses.replace(config.network, norm=norm))


ROWS = {
    f"table1-{'' if dataset == 'cifar10' else f'{dataset}-'}epoch{epochs}": functools.partial(rows, dataset, epochs)
    for dataset, epochs in published.TABLE1
}
