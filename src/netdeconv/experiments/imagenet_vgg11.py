"""VGG-11 on ImageNet, 90 epochs: no norm, batch norm, channel and full deconvolution.

Learning rate 0.01; the early version has blocks of 32 in linear layers, where here are 64.

Command:  netdeconv reproduce imagenet-vgg11 --data-dir DIR
Source:   Ye et al., "Network Deconvolution", ICLR 2020, and its early version, table 2; retrained in ReScience C
          10(1) #4, 2025; settings of the published program.
Hardware: one GPU with patience, or several, a row at a time: torchrun --nproc-per-node 8 -m netdeconv train
          --experiment imagenet-vgg11 --row paper --data-dir DIR
Minutes:  not measured; a step was published as 1.75 times one of batch norm on an A100.
Expected: 69.02 % no norm, 70.38 % batch norm (71.35 % retrained), 71.45 % channel, 71.95 % full.
Spread:   not published; one run each.
Status:   not run here.
"""

from __future__ import annotations

from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import imagenet


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    start = {"none": "vgg11", "batch_norm": "vgg11_bn", "channel": "vgg11", "paper": "vgg11"}
    return imagenet("vgg11", start, lr=0.01)
