"""A plain torch layer's whitened twin, and back: same arguments, same parameters, no initialisation."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
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
    WhitenedLinear,
    Whitening,
)
from netdeconv.nn.layer import WeightedWhitenedLayer

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

Pad: TypeAlias = Callable[[Any, Tensor], Tensor]


def register_layer(kind: type[nn.Module] | str, pad: Pad | None = None) -> None:
    """Tell :func:`netdeconv.convert` of a subclass whose ``forward`` computes what torch's layer does.

    Known are timm's ``Linear`` and ``Conv2dSame``.

    Args:
        kind: the class, subclasses not included, or its qualified name, ``"package.module.Class"``, which need not be
            imported.
        pad: for a convolution that pads its input itself: from layer and input to the padded input, of which the layer
            computes torch's convolution without padding. The whitened and the folded layer call it too, in a hook.

    Example:
        >>> class Causal(nn.Conv1d):
        ...     def forward(self, x):
        ...         return super().forward(nn.functional.pad(x, (self.kernel_size[0] - 1, 0)))
        >>> register_layer(Causal, lambda layer, x: nn.functional.pad(x, (layer.kernel_size[0] - 1, 0)))
    """
    _REGISTERED[kind if isinstance(kind, str) else qualified_name(kind)] = pad


def padded(layer: nn.Module, input: Tensor) -> Tensor:
    """The input as a registered layer pads it before it does what torch's does."""
    pad = _REGISTERED.get(qualified_name(type(layer)))
    return input if pad is None else pad(layer, input)


def _pad_first(pad: Pad, layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """A hook that goes before ``forward``."""
    return (pad(layer, args[0]), *args[1:])


def _pad_same(layer: nn.Conv2d, input: Tensor) -> Tensor:
    """TensorFlow's padding: as many output positions as strides fit in the input, the odd row or column behind."""
    both: list[int] = []
    for axis in (-1, -2):
        n, step = input.shape[axis], layer.stride[axis]
        missing = max(0, (-(-n // step) - 1) * step + (layer.kernel_size[axis] - 1) * layer.dilation[axis] + 1 - n)
        both += [missing // 2, missing - missing // 2]
    return nn.functional.pad(input, both)


_REGISTERED: dict[str, Pad | None] = {
    "timm.layers.linear.Linear": None,
    "timm.layers.conv2d_same.Conv2dSame": _pad_same,
    "timm.layers.conv2d_same.Conv2dSameExport": _pad_same,
}


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
        known = method == "forward" and qualified_name(kind) in _REGISTERED and method not in vars(module)
        if not known and (getattr(kind, method, None) is not getattr(base, method, None) or method in vars(module)):
            return f"{qualified_name(kind)} has a {method} of its own"
    for name in ("weight", "bias"):
        if inspect.getattr_static(kind, name, None) is not inspect.getattr_static(base, name, None):
            return f"{qualified_name(kind)} computes its {name} (a parametrization or a property)"
    return None


def qualified_name(kind: type) -> str:
    """Module and name of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def is_weighted(module: nn.Module) -> TypeGuard[WeightedWhitenedLayer]:
    """Whether the module is exactly one of the whitened types with a weight."""
    return type(module) in _PLAIN


def arguments_of(layer: nn.Module) -> dict[str, Any]:
    """The arguments that made a layer, but for its bias."""
    if isinstance(layer, nn.Linear):
        return {"in_features": layer.in_features, "out_features": layer.out_features}
    names = ["in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode"]
    if isinstance(layer, _ConvTransposeNd):
        names.append("output_padding")
    return {name: getattr(layer, name) for name in names}


def num_outputs(layer: PlainLayer) -> int:
    """Output channels or features of a plain layer."""
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def whitened_twin(layer: nn.Module, whitening: Whitening, *, bias: bool) -> WeightedWhitenedLayer:
    """A whitened layer that holds the plain one's parameters themselves, and a zero bias where asked for.

    It is built on the meta device: no memory for a second weight, and no random numbers drawn.
    """
    assert is_plain(layer)
    weight, own, base = layer.weight, layer.bias, plain_base(layer)
    if own is None and bias:
        own = nn.Parameter(weight.new_zeros(num_outputs(layer)), requires_grad=weight.requires_grad)
    assert base is not None
    pad, arguments = _REGISTERED.get(qualified_name(type(layer))), arguments_of(layer)
    if pad is not None:
        arguments["padding"] = 0
    twin = _TWINS[base](**arguments, bias=own is not None, device="meta", dtype=weight.dtype, whitening=whitening)
    twin.weight, twin.bias = weight, own
    assert isinstance(twin, WeightedWhitenedLayer)
    vars(twin)["_bias_added"] = layer.bias is None and own is not None
    if pad is not None:
        twin.register_forward_pre_hook(functools.partial(_pad_first, pad))
    twin.statistics.to_empty(device=weight.device).reset_running_stats()
    return twin


def bias_was_added(layer: nn.Module) -> bool:
    """Whether a whitened layer has a bias that the plain one, from which it was made, had not."""
    return bool(vars(layer).get("_bias_added"))


def plain_twin(layer: nn.Module, weight: Tensor, bias: Tensor) -> nn.Module:
    """The plain layer of a whitened one, with the given values, in the memory format of the old weight."""
    old = layer.weight
    assert isinstance(old, Tensor)
    layout = _CHANNELS_LAST.get(old.dim())
    if layout is not None and not old.is_contiguous() and old.is_contiguous(memory_format=layout):
        weight = weight.contiguous(memory_format=layout)
    twin = _PLAIN[type(layer)](**arguments_of(layer), bias=True, device="meta", dtype=weight.dtype)
    twin.weight = nn.Parameter(weight, requires_grad=old.requires_grad)
    twin.bias = nn.Parameter(bias, requires_grad=old.requires_grad)
    assert isinstance(twin, nn.Module)
    return twin
