"""Table 1 of the paper: ten networks with batch norm and whitened, CIFAR-10 and CIFAR-100 after 1, 20 and 100 epochs.

one-epoch has seven of the networks, batch norm also at a lower rate.

The published EfficientNet is whitened at its ends only; the one here is whitened throughout and has no expected number.

Command:  netdeconv reproduce table1-epoch1 --data-dir DIR
Source:   Ye et al., "Network Deconvolution", ICLR 2020, table 1; some of it was retrained in ReScience C 10(1) #4, 2025
          ("study"), with three seeds on CIFAR-10.
Hardware: any GPU; an epoch of VGG-16 takes about an hour of two cores.
Minutes:  not measured as a whole; see results/cifar10-one-epoch.json for seven networks and one epoch.
Expected: the numbers of the paper and the study beside every row.
Spread:   paper and study differ by up to 14 points after one epoch.
Status:   measured here for one epoch of seven networks on CIFAR-10, one seed; the others not.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import PAPER_LR, cifar

PAPER, STUDY = "paper", "study"
_NORMS = ("batch_norm", "paper")
# Batch norm and network deconvolution: CIFAR-10 after 1, 20, 100 epochs, then CIFAR-100 likewise.
_TABLE1 = """
vgg16           14.12 74.18  90.07 93.25  93.58 94.56    2.01 37.94  63.22 71.97  72.75 75.32
resnet18        56.25 72.89  92.64 94.07  94.87 95.40   16.10 35.73  72.67 76.55  77.70 78.63
preact_resnet18 55.15 72.70  91.93 94.10  94.37 95.44   15.17 36.52  70.79 76.04  76.14 79.14
densenet121     59.56 76.63  93.25 94.89  94.71 95.88   17.90 42.91  74.79 77.63  77.99 80.69
resnext29_32x4d 52.14 69.22  93.12 94.05  95.15 95.80   17.98 30.93  74.26 77.35  78.60 80.34
mobilenet_v2    54.29 65.40  89.86 92.52  90.51 94.35   15.88 29.01  66.31 72.33  67.52 74.90
dpn92           34.00 53.02  92.87 93.74  95.14 95.82    8.84 21.89  74.87 76.12  78.87 80.38
pnasnet_a       21.81 64.19  75.85 81.97  81.22 84.45   10.49 36.52  44.60 55.65  54.52 59.44
senet18         57.63 67.21  92.37 94.11  94.57 95.38   16.60 32.22  71.10 75.79  76.41 78.63
efficientnet_b0 35.40 55.67  84.21 86.78  86.07 88.42   19.03 22.40  57.23 57.59  59.09 62.37
"""
COLUMNS = [(dataset, epochs) for dataset in ("cifar10", "cifar100") for epochs in (1, 20, 100)]
# The study's, where they are test accuracies, by data set, epochs and network.
_STUDY: Mapping[tuple[str, int, str], tuple[float, float]] = {
    ("cifar10", 1, "vgg16"): (14.38, 74.20),
    ("cifar10", 1, "resnet18"): (46.56, 58.69),
    ("cifar10", 1, "densenet121"): (55.78, 76.31),
    ("cifar10", 20, "vgg16"): (90.36, 92.83),
    ("cifar10", 20, "resnet18"): (92.35, 94.20),
}
# The cheap ones first: a session on two cores may end before the last.
_SEVEN = ("vgg16", "mobilenet_v2", "efficientnet_b0", "pnasnet_a", "resnet18", "preact_resnet18", "senet18")
# Depthwise convolutions' gradients are slower in bfloat16 than in float32 on the processors at hand.
_DEPTHWISE = ("mobilenet_v2", "efficientnet_b0", "pnasnet_a")
LOWER_LR = 0.02


def table1(dataset: str, epochs: int) -> dict[str, ExperimentRow]:
    """Return one pair of columns."""
    place = 2 * COLUMNS.index((dataset, epochs))
    found: dict[str, ExperimentRow] = {}
    for words in _TABLE1.strip().splitlines():
        arch, *numbers = words.split()
        for which, norm in enumerate(_NORMS):
            expected = {PAPER: float(numbers[place + which])}
            if (again := _STUDY.get((dataset, epochs, arch))) is not None:
                expected[STUDY] = again[which]
            is_other = (arch, norm) == ("efficientnet_b0", "paper")
            config = cifar(arch, epochs, dataset=dataset, norm=norm)
            found[f"{arch} {norm}"] = ExperimentRow(config=config, expected={} if is_other else expected)
    return found


def one_epoch() -> dict[str, ExperimentRow]:
    """Return seven networks on CIFAR-10, one epoch; batch norm at the paper's rate and at a lower one."""
    known = table1("cifar10", 1)
    found: dict[str, ExperimentRow] = {}
    for arch in _SEVEN:
        for norm, lr in (("batch_norm", PAPER_LR), ("batch_norm", LOWER_LR), ("paper", PAPER_LR)):
            config = cifar(arch, 1, norm=norm, lr=lr)
            config = dataclasses.replace(config, precision="32-true" if arch in _DEPTHWISE else "auto")
            label = f"{arch} {norm}" if norm == "paper" else f"{arch} {norm} lr {lr:g}"
            expected = known[f"{arch} {norm}"].expected if lr == PAPER_LR else {}
            found[label] = ExperimentRow(config=config, expected=expected)
    return found


ROWS = {"one-epoch": one_epoch} | {
    f"table1-{'' if dataset == 'cifar10' else f'{dataset}-'}epoch{epochs}": functools.partial(table1, dataset, epochs)
    for dataset, epochs in COLUMNS
}
