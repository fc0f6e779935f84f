"""Initialisation of networks without batch norm."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from netdeconv.nn.layer import WhitenedLayer

_OUTPUT_GAIN = 0.1


@torch.no_grad()
def initialize(model: nn.Module, *, generator: torch.Generator | None = None) -> nn.Module:
    r"""Initialise whitened layers, and the last layer, of a network without batch norm.

    Weights are normal with variance 1 / fan_in, biases zero. A whitened layer multiplies inputs of unit
    covariance, so its outputs have unit variance, whatever activation came before: Kaiming's factor 2 makes
    up for what a ReLU halves, and here the whitening does that. The next layer whitens again, so the function
    does not depend on the scale of the weights, but gradients do, inversely; and at unit variance ``eps`` has
    its nominal weight against the covariance.

    Nothing whitens the outputs of the last layer (as registered). Its weights are 10 times smaller, so
    that a classifier starts near equal probabilities, its loss near the logarithm of the number of classes.

    Args:
        model: changed in place. Plain layers, other than the last, and all other modules stay as they are.
        generator: source of random numbers; None: torch's own.

    Returns:
        The model.

    Example:
        >>> layer = initialize(nn.Sequential(WhitenedLinear(64, 64), nn.Linear(64, 10)))[0]
        >>> bool(layer.bias.any())
        False
    """
    last = None
    for module in model.modules():
        if not isinstance(module, (_ConvNd, nn.Linear)):
            continue
        last = module
        if isinstance(module, WhitenedLayer):
            _normal(module, 1.0, generator)
    if last is not None:
        _normal(last, _OUTPUT_GAIN, generator)
    return model


def _normal(layer: _ConvNd | nn.Linear, gain: float, generator: torch.Generator | None) -> None:
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(_fan_in(layer)), generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _fan_in(layer: _ConvNd | nn.Linear) -> float:
    """Terms added up for one output: of a transposed convolution, on average over the output positions."""
    if isinstance(layer, _ConvTransposeNd):
        taps = math.prod(layer.kernel_size) / math.prod(layer.stride)
        return max(1.0, layer.in_channels // layer.groups * taps)
    return layer.weight[0].numel()
