"""XResNet-18 with a whitened stem and batch norm elsewhere, beside batch norm and full deconvolution: CIFAR-10.

A practitioner whitened only the first convolution of an XResNet, on images of galaxies and on FastGarden, and took
weight decay 1e-2; CIFAR-10 stands for them here, with 20 epochs.

Command:  netdeconv reproduce xresnet-stem --data-dir DIR
Source:   the forum thread of fastai's users on network deconvolution.
Hardware: any GPU.
Minutes:  not measured.
Expected: the stem alone above both others, in that practitioner's tests; no numbers.
Spread:   not published.
Status:   not run here.
"""

from __future__ import annotations

from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import cifar


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    return {
        f"{norm} wd {weight_decay:g}": ExperimentRow(
            config=cifar("xresnet18", 20, norm=norm, weight_decay=weight_decay)
        )
        for norm in ("batch_norm", "stem", "paper")
        for weight_decay in (1e-3, 1e-2)
    }
