"""Segmentation of Cityscapes from scratch: DeepLabV3 and FCN on ResNet-50, batch norm and network deconvolution.

Command:  netdeconv reproduce cityscapes --data-dir DIR
Source:   Ye et al., "Network Deconvolution", ICLR 2020; settings of the published program, whose images
          have a shorter side of 520 pixels and no auxiliary head.
Hardware: one GPU of 24 GB or more.
Minutes:  not measured.
Expected: network deconvolution above batch norm, the largest gain that the paper claims; the numbers are in its figure.
Spread:   not published.
Status:   not run here.
"""

from __future__ import annotations

from netdeconv.data import DataConfig
from netdeconv.data.segmentation import Views
from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import PAPER_LR
from netdeconv.models import NormConfig
from netdeconv.tasks import Segmentation
from netdeconv.training import NetworkConfig, OptimizerConfig, TrainingConfig


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    return {
        f"{arch} {norm}": ExperimentRow(config=_config(arch, norm))
        for arch in ("deeplabv3_resnet50", "fcn_resnet50")
        for norm in ("batch_norm", "paper")
    }


def _config(arch: str, norm: str) -> TrainingConfig:
    return TrainingConfig(
        task=Segmentation(views=Views(size=(520, 1040), crop=(480, 480), scale=(0.5, 2.0)), auxiliary=False),
        data=DataConfig(dataset="cityscapes", batch_size=8, num_workers=8),
        network=NetworkConfig(arch=arch, norm=NormConfig(name=norm)),
        optimizer=OptimizerConfig(name="SGD", lr=PAPER_LR, momentum=0.9, weight_decay=1e-4, schedule="poly"),
        epochs=30,
    )
