"""VGG-11, ResNet-18 and DenseNet-121 on ImageNet, 90 epochs: no norm, batch norm, channel and full deconvolution.

SGD with momentum 0.9, learning rate 0.1 (VGG-11: 0.01), cosine decay at every step, batch 256, weight decay 1e-4,
blocks of 64 in all layers; the early version has blocks of 32 in VGG-11's linear layers.

Command:  netdeconv reproduce imagenet-resnet18 --data-dir DIR
Source:   Ye et al., "Network Deconvolution", ICLR 2020, and its early version, table 2; retrained in ReScience C
          10(1) #4, 2025; settings of the published program.
Hardware: one GPU with patience, or several, a row at a time: torchrun --nproc-per-node 8 -m netdeconv train
          --experiment imagenet-resnet18 --row paper --data-dir DIR
Minutes:  not measured; a step was published as 1.44 (DenseNet-121) to 2.73 (ResNet-18) times one of batch norm, A100.
Expected: the numbers beside every row; retrained, DenseNet-121 with batch norm was ahead.
Spread:   not published; one run each, and retraining moved batch norm by one point.
Status:   not run here.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from netdeconv import models
from netdeconv.data import DataConfig
from netdeconv.experiments.running import published
from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import NORMS, PAPER_LR, norm_config
from netdeconv.tasks import Classification
from netdeconv.training import NetworkConfig, OptimizerConfig, TrainingConfig

# By network: its normalisations, and torchvision's name of the network that each starts from.
_NETWORKS: Mapping[str, Mapping[str, str]] = {
    "vgg11": {"none": "vgg11", "batch_norm": "vgg11_bn", "channel": "vgg11", "paper": "vgg11"},
    "resnet18": dict.fromkeys(("batch_norm", "channel", "paper"), "resnet18"),
    "densenet121": dict.fromkeys(("batch_norm", "paper"), "densenet121"),
}


def rows(name: str) -> dict[str, ExperimentRow]:
    """Return the runs of a network by label."""
    lr = 0.01 if name == "vgg11" else PAPER_LR
    return {
        norm: ExperimentRow(
            config=TrainingConfig(
                task=Classification(),
                data=DataConfig(dataset="imagenet", batch_size=256, num_workers=8),
                network=NetworkConfig(
                    arch=f"{models.IMAGENET}{start}", norm=norm_config(norm, {"linear_group_size": 64})
                ),
                optimizer=OptimizerConfig(name="SGD", lr=lr, momentum=0.9, weight_decay=1e-4, schedule="cosine"),
                epochs=90,
            ),
            expected=published.IMAGENET[name][NORMS.get(norm, norm)],
        )
        for norm, start in _NETWORKS[name].items()
    }


ROWS = {f"imagenet-{name}": functools.partial(rows, name) for name in _NETWORKS}
