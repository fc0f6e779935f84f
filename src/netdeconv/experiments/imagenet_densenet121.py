"""DenseNet-121 on ImageNet, 90 epochs: batch norm and full deconvolution.

Command:  netdeconv reproduce imagenet-densenet121 --data-dir DIR
Source:   Ye et al., "Network Deconvolution", ICLR 2020; retrained in ReScience C 10(1) #4, 2025; settings of the
          published program.
Hardware: one GPU with patience, or several, a row at a time: torchrun --nproc-per-node 8 -m netdeconv train
          --experiment imagenet-densenet121 --row paper --data-dir DIR
Minutes:  not measured; a step was published as 1.44 times one of batch norm on an A100.
Expected: 74.65 % batch norm, 75.73 % full; retrained, batch norm was ahead: 75.88 against 75.67 %.
Spread:   not published; one run each.
Status:   not run here.
"""

from __future__ import annotations

from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import imagenet


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    return imagenet("densenet121", dict.fromkeys(("batch_norm", "paper"), "densenet121"))
