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

from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import cifar
from netdeconv.training.config import replaced


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    found = {}
    for norm in ("none", "batch_norm", "paper"):
        config = replaced(cifar("mlp", 10, dataset="mnist", norm=norm), {"data.augment": False})
        found[norm] = ExperimentRow(config=config)
    return found
