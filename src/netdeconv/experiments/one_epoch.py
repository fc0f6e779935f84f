"""Seven networks on CIFAR-10, one epoch, the paper's setting.

Batch norm runs at the paper's rate and at a lower one; EfficientNet is whitened throughout, unlike the published one.

Command:  netdeconv reproduce one-epoch --data-dir DIR --export results/cifar10-one-epoch.json
Source:   Ye et al., "Network Deconvolution", ICLR 2020, table 1.
Hardware: two cores.
Minutes:  see results/cifar10-one-epoch.json.
Expected: the numbers of table1-epoch1; batch norm at the lower rate has none.
Spread:   one seed here; the paper and the study differ by up to 14 points (ResNet-18).
Status:   measured here, one seed, results/cifar10-one-epoch.json; the lower rate for two of the networks.
"""

from __future__ import annotations

import dataclasses

from netdeconv.experiments.paper import table1
from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import PAPER_LR, cifar

# The cheap ones first: a session on two cores may end before the last.
_SEVEN = ("vgg16", "mobilenet_v2", "efficientnet_b0", "pnasnet_a", "resnet18", "preact_resnet18", "senet18")
# Depthwise convolutions' gradients are slower in bfloat16 than in float32 on the processors at hand.
_DEPTHWISE = ("mobilenet_v2", "efficientnet_b0", "pnasnet_a")
LOWER_LR = 0.02


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
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
