"""Weight decay with batch norm and with network deconvolution: VGG-13 on CIFAR-100, 100 epochs, 1e-3 and 5e-3.

Command:  netdeconv reproduce weight-decay --data-dir DIR
Source:   Ye et al., "Network Deconvolution", early version of 2019, section 7.2 and figure 8 (a).
Hardware: the paper names none; any GPU.
Minutes:  not measured.
Expected: the larger weight decay lowers the accuracy with batch norm and raises it with network deconvolution; the
          figure has curves, the text no numbers.
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
            config=cifar(
                "vgg13",
                100,
                dataset="cifar100",
                norm=norm,
                changes={"group_size": 16},
                batch_size=256,
                weight_decay=weight_decay,
            )
        )
        for norm in ("batch_norm", "paper")
        for weight_decay in (1e-3, 5e-3)
    }
