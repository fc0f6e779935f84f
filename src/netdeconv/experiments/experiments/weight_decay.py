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

import dataclasses

from netdeconv.experiments.families import cifar
from netdeconv.experiments.recipe import RecipeRow
from netdeconv.experiments.variants import WhiteningChoice


def rows() -> dict[str, RecipeRow]:
    """Return the runs by label."""
    choice = WhiteningChoice(base=dataclasses.replace(WhiteningChoice().base, group_size=16))
    return {
        f"{norm} wd {weight_decay:g}": RecipeRow(
            config=cifar(
                "vgg13",
                100,
                dataset="cifar100",
                norm=norm,
                choice=choice,
                batch_size=256,
                weight_decay=weight_decay,
            )
        )
        for norm in ("batch_norm", "full")
        for weight_decay in (1e-3, 5e-3)
    }
