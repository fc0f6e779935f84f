"""A plain torch layer's whitened twin, and back: same arguments, same parameters, no initialisation."""

from __future__ import annotations

import inspect
from typing import Any, TypeAlias, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from netdeconv.nn import (
    WhitenedConv1d,
    WhitenedConv2d,
    WhitenedConv3d,
    WhitenedConvTranspose1d,
    WhitenedConvTranspose2d,
    WhitenedConvTranspose3d,
    WhitenedLayer,
    WhitenedLinear,
    Whitening,
)

PlainLayer: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Conv3d | _ConvTransposeNd | nn.Linear

_TWINS: dict[type[nn.Module], Any] = {
    nn.Conv1d: WhitenedConv1d,
    nn.Conv2d: WhitenedConv2d,
    nn.Conv3d: WhitenedConv3d,
    nn.ConvTranspose1d: WhitenedConvTranspose1d,
    nn.ConvTranspose2d: WhitenedConvTranspose2d,
    nn.ConvTranspose3d: WhitenedConvTranspose3d,
    nn.Linear: WhitenedLinear,
}
_PLAIN: dict[type[nn.Module], Any] = {whitened: plain for plain, whitened in _TWINS.items()}
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def is_plain(module: nn.Module) -> TypeGuard[PlainLayer]:
    """Whether the module computes what one of the types with a whitened twin does."""
    base = plain_base(module)
    return base is not None and changed_behaviour(module, base) is None


def plain_base(module: nn.Module) -> type[nn.Module] | None:
    """The plain type that a module is or derives from, if any."""
    return next((plain for plain in _TWINS if isinstance(module, plain)), None)


def changed_behaviour(module: nn.Module, base: type[nn.Module]) -> str | None:
    """What a subclass computes in another way than its base does, in words, or None.

    Other arguments, names or initial values change nothing; a ``forward`` of its own may do anything, such as pad
    dynamically or standardise its weight.
    """
    kind = type(module)
    for method in ("forward", "_conv_forward", "_output_padding", "__call__"):
        if getattr(kind, method, None) is not getattr(base, method, None) or method in vars(module):
            return f"{qualified_name(kind)} has a {method} of its own"
    for name in ("weight", "bias"):
        if inspect.getattr_static(kind, name, None) is not inspect.getattr_static(base, name, None):
            return f"{qualified_name(kind)} computes its {name} (a parametrization or a property)"
    return None


def qualified_name(kind: type) -> str:
    """Module and name of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def is_weighted(module: nn.Module) -> bool:
    """Whether the module is exactly one of the whitened types with a weight."""
    return type(module) in _PLAIN


def _arguments(layer: nn.Module) -> dict[str, Any]:
    names = ["in_features", "out_features"]
    if not isinstance(layer, nn.Linear):
        names = [
            "in_channels",
            "out_channels",
            "kernel_size",
            "stride",
            "padding",
            "dilation",
            "groups",
            "padding_mode",
        ]
    if isinstance(layer, _ConvTransposeNd):
        names.append("output_padding")
    return {name: getattr(layer, name) for name in names}


def num_outputs(layer: PlainLayer) -> int:
    """Output channels or features of a plain layer."""
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def whitened_twin(layer: PlainLayer, whitening: Whitening, *, bias: bool) -> WhitenedLayer:
    """A whitened layer that holds the plain one's parameters themselves, and a zero bias where asked for.

    It is built on the meta device: no memory for a second weight, and no random numbers drawn.
    """
    weight = layer.weight
    own = layer.bias
    if own is None and bias:
        own = nn.Parameter(weight.new_zeros(num_outputs(layer)), requires_grad=weight.requires_grad)
    base = plain_base(layer)
    assert base is not None
    twin = _TWINS[base](
        **_arguments(layer), bias=own is not None, device="meta", dtype=weight.dtype, whitening=whitening
    )
    twin.weight, twin.bias = weight, own
    assert isinstance(twin, WhitenedLayer)
    for name, buffer in twin.statistics.named_buffers():
        setattr(twin.statistics, name, torch.empty_like(buffer, device=weight.device))
    twin.statistics.reset()
    return twin


def plain_twin(layer: nn.Module, weight: Tensor, bias: Tensor) -> nn.Module:
    """The plain layer of a whitened one, with the given values, in the memory format of the old weight."""
    old = layer.weight
    assert isinstance(old, Tensor)
    layout = _CHANNELS_LAST.get(old.dim())
    if layout is not None and not old.is_contiguous() and old.is_contiguous(memory_format=layout):
        weight = weight.contiguous(memory_format=layout)
    twin = _PLAIN[type(layer)](**_arguments(layer), bias=True, device="meta", dtype=weight.dtype)
    requires_grad = old.requires_grad
    twin.weight = nn.Parameter(weight, requires_grad=requires_grad)
    twin.bias = nn.Parameter(bias, requires_grad=requires_grad)
    assert isinstance(twin, nn.Module)
    return twin
