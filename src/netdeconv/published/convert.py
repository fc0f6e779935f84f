"""From published layers to the library's own."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from netdeconv.nn import Freeze, Whitening
from netdeconv.published.conv import FastDeconv
from netdeconv.published.linear import Delinear
from netdeconv.surgery import convert
from netdeconv.surgery.tree import names_of, replace


def to_library(model: nn.Module, *, calibration: Iterable[Any] | None = None) -> nn.Module:
    """Turn a model with published layers into one with the library's: WhitenedConv2d and WhitenedLinear.

    Without ``calibration`` weights and settings are kept, statistics start anew, and the function changes with the
    blocks, which hold neighbouring channels here: train from here. With it, outputs in evaluation mode stay what they
    were: fine-tune from here.

    Args:
        model: with :class:`FastDeconv` and :class:`Delinear`; it is not changed.
        calibration: batches, as :func:`netdeconv.convert` takes them.

    Returns:
        The converted copy. A :class:`netdeconv.published.ChannelDeconv`, which does not know its channels, stays.

    Raises:
        ValueError: when the model has no such layer; as :func:`netdeconv.convert`.

    Example:
        >>> to_library(nn.Sequential(FastDeconv(8, 4, 3, block=4)))[0].whitening.group_size
        4
    """
    found = {layer: names[0] for layer, names in names_of(model).items() if isinstance(layer, (FastDeconv, Delinear))}
    if not found:
        raise ValueError("the model holds no published layer (FastDeconv, Delinear)")
    if model in found:
        return to_library(nn.Sequential(model), calibration=calibration).get_submodule("0")
    target = copy.deepcopy(model)
    named = {name: _settings(layer) for layer, name in found.items()}
    plain = {target.get_submodule(name): _plain(target.get_submodule(name), calibration is not None) for name in named}
    replace(target, plain)
    return convert(target, False, named=named, select=list(named), calibration=calibration, inplace=True)


def _settings(layer: FastDeconv | Delinear) -> Whitening:
    settings = Whitening(group_size=layer.block, num_iterations=layer.n_iter, eps=layer.eps, momentum=layer.momentum)
    if isinstance(layer, Delinear):
        return settings
    freeze = Freeze(active=layer.freeze_iter, period=10 * layer.freeze_iter) if layer.freeze else None
    return dataclasses.replace(settings, sampling_stride=layer.sampling_stride, freeze=freeze)


@torch.no_grad()
def _plain(layer: nn.Module, folded: bool) -> nn.Module:
    """The plain layer with the published one's weight, or with what it computes in evaluation mode."""
    assert isinstance(layer, (FastDeconv, Delinear))
    weight, bias = layer.weight, layer.bias
    plain: nn.Conv2d | nn.Linear
    if isinstance(layer, Delinear):
        plain = nn.Linear(layer.in_features, layer.out_features, device="meta")
    else:
        plain = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.dilation,  # type: ignore[arg-type]
            layer.groups,
            device="meta",
        )
    if folded:
        product, shift = layer.whitened_weight(*layer.running())
        trained = layer.weight.requires_grad
        weight, bias = nn.Parameter(product, requires_grad=trained), nn.Parameter(shift, requires_grad=trained)
    plain.weight, plain.bias = weight, bias
    return plain
