"""From settings to a network: built with batch norm, then converted."""

from __future__ import annotations

from torch import nn

from netdeconv import models
from netdeconv.data import DatasetInfo
from netdeconv.nn import WhitenedLayer
from netdeconv.surgery import convert
from netdeconv.training.config import NetworkConfig


def build_network(config: NetworkConfig, data: DatasetInfo) -> nn.Module:
    """Return the network of the settings for images of a data set, initialised from torch's global generator.

    Raises:
        UnknownNameError: when there is no such network.
    """
    model = models.build(
        config.arch,
        num_classes=data.num_classes,
        in_channels=data.shape[0],
        width=config.width,
        image_size=data.shape[1],
    )
    if config.whitening is None:
        return model
    converted = convert(model, config.whitening, stem=config.stem, linear=config.linear)
    if not config.bias:
        _remove_biases(converted)
    return converted


def _remove_biases(model: nn.Module) -> None:
    """Take the bias from whitened convolutions; the mean that whitening subtracts stays."""
    for module in model.modules():
        if isinstance(module, WhitenedLayer) and not isinstance(module, nn.Linear):
            module.register_parameter("bias", None)
