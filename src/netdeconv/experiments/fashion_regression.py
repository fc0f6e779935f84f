"""One linear layer on Fashion-MNIST: linear regression (squared error) and logistic regression, plain and whitened.

The map is a linear layer on all pixels, whitened in one block, or one convolution with a kernel as large as the image;
SGD without momentum, at a constant rate. The paper's squared error is half the sum over the ten outputs and the loss
here is their mean, so that a rate of 1 is 5 here; with cross entropy rates are the same. Its rates for unwhitened
pixels belong to values between 0 and 1; normalised ones have eight times the variance and need smaller rates.

Command:  netdeconv reproduce fashion-regression --data-dir DIR
Source:   Ye et al., "Network Deconvolution", early version of 2019, section 4 and figure 4 (a, b).
Hardware: one core.
Minutes:  2 in all.
Expected: without whitening small rates are needed (0.02 to 0.1), with it rate 1 works and the loss is low after a few
          steps; the figure has curves, the text no numbers.
Spread:   not published.
Status:   measured here, one seed: results/fashion-regression.json.
"""

from __future__ import annotations

from netdeconv.data.config import DataConfig
from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import norm_config
from netdeconv.tasks import Classification
from netdeconv.training.config import NetworkConfig, OptimizerConfig, TrainingConfig

# By loss: what the paper's rate is multiplied with, for the same step.
_SCALE = {"L2": 5.0, "CE": 1.0}
_RATES = {"none": 0.005, "paper": 1.0}
_PIXELS = 28 * 28


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    return {
        f"{arch} {loss} {norm}": ExperimentRow(config=_config(arch, loss, norm))
        for arch in ("linear", "conv")
        for loss in _SCALE
        for norm in _RATES
    }


def _config(arch: str, loss: str, norm: str) -> TrainingConfig:
    return TrainingConfig(
        task=Classification(loss=loss),
        data=DataConfig(dataset="fashion_mnist", batch_size=512, augment=False),
        network=NetworkConfig(arch=arch, norm=norm_config(norm, {"linear_group_size": _PIXELS})),
        optimizer=OptimizerConfig(
            name="SGD", lr=_RATES[norm] * _SCALE[loss], momentum=0.0, weight_decay=0.0, schedule="constant"
        ),
        epochs=1,
    )
