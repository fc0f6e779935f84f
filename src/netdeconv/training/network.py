"""From settings to a network: built with batch norm, then converted, whichever normalisation it trains with."""

from __future__ import annotations

from torch import nn

from netdeconv import models
from netdeconv.data import DatasetInfo
from netdeconv.training.config import NetworkConfig


def build_network(config: NetworkConfig, data: DatasetInfo) -> nn.Module:
    """Return the network of the settings for images of a data set, initialised from torch's global generator.

    Raises:
        UnknownNameError: when there is no such network.
        ValueError: when it cannot be for such images, or has no pretrained weights for so many classes.
    """
    return models.normalise(_built(config, data), config.norm, models.architecture(config.arch))


def _built(config: NetworkConfig, data: DatasetInfo) -> nn.Module:
    if config.pretrained:
        models.architecture(config.arch)
        name = config.arch.removeprefix(models.IMAGENET)
        return models.build_imagenet(name, num_classes=data.num_classes, pretrained=True)
    return models.build(
        config.arch,
        num_classes=data.num_classes,
        in_channels=data.shape[0],
        width=config.width,
        image_size=data.shape[1],
    )
