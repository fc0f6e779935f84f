"""Squeeze-and-excite gates: layers that see one pooled row of an image, and scale the channels of others."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.conv import _ConvNd

from netdeconv.surgery.plain import plain_base

_POOLS = (
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
)
# a gate squeezes and expands, or does both in one layer
_MOST_LAYERS = 2


def gates(model: nn.Module) -> set[nn.Module]:
    """Layers of the model's gates: a gate is known by what it is made of, not by names.

    It is a module of the model with a sigmoid and at most two layers, all linear or convolutions of one tap, that pools
    to one position, or whose second layer gives as many channels as its first takes in and squeezes. A module that
    flattens is a classifier.
    """
    return {layer for module in model.modules() if module is not model for layer in _layers_of_gate(module)}


def _layers_of_gate(module: nn.Module) -> list[nn.Module]:
    parts = list(module.modules())
    layers = [part for part in parts if plain_base(part) is not None]
    one_tap = all(not isinstance(layer, _ConvNd) or max(layer.kernel_size) == 1 for layer in layers)
    if not (1 <= len(layers) <= _MOST_LAYERS and one_tap) or any(isinstance(part, nn.Flatten) for part in parts):
        return []
    if not any("sigmoid" in type(part).__name__.lower() for part in parts):  # torch's, or a library's own of that name
        return []
    return layers if any(_pools_to_one(part) for part in parts) or _squeezes(layers) else []


def _pools_to_one(module: nn.Module) -> bool:
    size = module.output_size if isinstance(module, _POOLS) else None
    return size == 1 or (isinstance(size, tuple) and set(size) == {1})


def _squeezes(layers: list[nn.Module]) -> bool:
    """Whether two layers give as many channels as they take, and fewer between them."""
    sizes = [_sizes(layer) for layer in layers]
    return len(sizes) == _MOST_LAYERS and sizes[0][0] == sizes[1][1] > sizes[0][1] == sizes[1][0]


def _sizes(layer: nn.Module) -> tuple[int, int]:
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    assert isinstance(layer, _ConvNd)
    return layer.in_channels, layer.out_channels
