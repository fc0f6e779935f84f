"""From settings to a network: built with batch norm, then converted, whichever normalisation it trains with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal, Protocol

from torch import nn

from netdeconv import models
from netdeconv.data import DatasetInfo
from netdeconv.nn import WhitenedLayer, Whitening
from netdeconv.surgery import convert
from netdeconv.training.config import NetworkConfig


def build_network(config: NetworkConfig, data: DatasetInfo) -> nn.Module:
    """Return the network of the settings for images of a data set, initialised from torch's global generator.

    Raises:
        UnknownNameError: when there is no such network.
        ValueError: when it cannot be for such images, or has no pretrained weights for so many classes.
    """
    return normalise(_built(config, data), config, models.architecture(config.arch))


class ConversionData(Protocol):
    """What the table of networks says of a network's conversion, see :class:`netdeconv.models.Architecture`."""

    @property
    def grouped(self) -> int | None:
        """Steps of convolutions with groups of several channels."""

    @property
    def depthwise(self) -> int | None:
        """Steps of convolutions with one input channel for each group."""

    @property
    def named(self) -> Mapping[str, int]:
        """Steps of further layers, by a pattern of names."""

    @property
    def published_select(self) -> tuple[str, ...] | None:
        """What the published experiments converted."""


def normalise(model: nn.Module, config: NetworkConfig, entry: ConversionData) -> nn.Module:
    """Return a network that was built with batch norm with the normalisation of the settings.

    Args:
        model: with batch norm.
        config: what is whitened, and what stands where nothing is.
        entry: steps that the network has for some of its layers.
    """
    if config.whitening is not None:
        model = _converted(model, config, entry)
    return models.replace_norms(model, config.norm)


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


def _converted(model: nn.Module, config: NetworkConfig, entry: ConversionData) -> nn.Module:
    """Convert with the settings, and with the steps that the network's entry has for some of its layers."""
    converted = convert(
        model,
        config.whitening,
        stem=config.stem,
        linear=config.linear,
        grouped=_with_steps(config.grouped, config.whitening, entry.grouped),
        depthwise=_with_steps(config.depthwise, config.whitening, entry.depthwise),
        named={pattern: _with_steps(None, config.whitening, steps) for pattern, steps in entry.named.items()},
        select=entry.published_select if config.published else None,
    )
    if not config.bias:
        _remove_biases(converted)
    return converted


def _with_steps(
    own: Whitening | Literal[False] | None, others: Whitening | Literal[False] | None, steps: int | None
) -> Whitening | Literal[False] | None:
    """A kind of layer's own settings; without any, those of the others with the entry's number of steps."""
    if own is None and steps is not None and isinstance(others, Whitening):
        return dataclasses.replace(others, num_iterations=steps)
    return own


def _remove_biases(model: nn.Module) -> None:
    """Take the bias from whitened convolutions; the mean that whitening subtracts stays."""
    for module in model.modules():
        if isinstance(module, WhitenedLayer) and not isinstance(module, nn.Linear):
            module.register_parameter("bias", None)
