"""A perceptron of three hidden layers of 128 with sigmoids on MNIST: no norm, batch norm, network deconvolution.

A linear layer has one tap, so that channel and full deconvolution are the same.

Command:  netdeconv reproduce mnist-mlp --data-dir DIR
Source:   Ye et al., "Network Deconvolution", early version of 2019, section 4 and figure 4 (c, d); it names no rate,
          batch or number of epochs: those of its CIFAR experiments are used, and ten epochs.
Hardware: one core.
Minutes:  9 in all, beside other processes.
Expected: network deconvolution above batch norm; the figure has curves, the text no numbers.
Spread:   not published.
Status:   measured here, one seed: results/mnist-mlp.json.
"""

from __future__ import annotations

from netdeconv.data import DataConfig
from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import PAPER_LR
from netdeconv.models import NormConfig
from netdeconv.tasks import Classification
from netdeconv.training import NetworkConfig, OptimizerConfig, TrainingConfig


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    return {norm: ExperimentRow(config=_config(norm)) for norm in ("none", "batch_norm", "paper")}


def _config(norm: str) -> TrainingConfig:
    return TrainingConfig(
        task=Classification(),
        data=DataConfig(dataset="mnist", batch_size=128, augment=False),
        network=NetworkConfig(arch="mlp", norm=NormConfig(name=norm)),
        optimizer=OptimizerConfig(name="SGD", lr=PAPER_LR, momentum=0.9, weight_decay=1e-3, schedule="cosine"),
        epochs=10,
    )
