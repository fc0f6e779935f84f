"""ResNet-18 on ImageNet, 90 epochs: batch norm, channel and full deconvolution.

Command:  netdeconv reproduce imagenet-resnet18 --data-dir DIR
Source:   Ye et al., "Network Deconvolution", ICLR 2020, and its early version, table 2; retrained in ReScience C
          10(1) #4, 2025; settings of the published program.
Hardware: one GPU with patience, or several, a row at a time: torchrun --nproc-per-node 8 -m netdeconv train
          --experiment imagenet-resnet18 --row paper --data-dir DIR
Minutes:  not measured; a step was published as 2.73 times one of batch norm on an A100.
Expected: 69.76 % batch norm (70.72 % retrained), 69.80 % channel, 71.24 % full (71.58 % retrained).
Spread:   not published; one run each, and retraining moved batch norm by one point.
Status:   not run here.
"""

from __future__ import annotations

from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import imagenet


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    return imagenet("resnet18", dict.fromkeys(("batch_norm", "channel", "paper"), "resnet18"))
