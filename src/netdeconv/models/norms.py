"""What can stand in a network where batch norm stands: group norm, or nothing.

A network is built with batch norm, and :func:`replace_norms` converts it, as :func:`netdeconv.convert` does for
network deconvolution: no network knows which of them it trains with.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from netdeconv.lookup import look_up
from netdeconv.models.norm_config import BATCH_NORM, NONE
from netdeconv.surgery.inplace import stop_overwriting
from netdeconv.surgery.plain import is_plain, num_outputs
from netdeconv.surgery.tree import names_of, replace

# As Wu and He chose; a group of a single channel would erase what its mean says.
_GROUPS, _SMALLEST_GROUP = 32, 2


def _group_norm(norm: _BatchNorm) -> nn.Module:
    channels = norm.num_features
    most = max(1, min(_GROUPS, channels // _SMALLEST_GROUP))
    groups = max(divisor for divisor in range(1, most + 1) if channels % divisor == 0)
    return _with_affine(norm, nn.GroupNorm(groups, channels, device=_device(norm)))


def _device(norm: _BatchNorm) -> torch.device | None:
    return next((tensor.device for tensor in (*norm.parameters(), *norm.buffers())), None)


def _with_affine(norm: _BatchNorm, other: nn.Module) -> nn.Module:
    """The other norm with batch norm's own weight and bias, which some networks start elsewhere than at 1 and 0."""
    if norm.affine:
        other.weight, other.bias = norm.weight, norm.bias
    return other


def _nothing(norm: _BatchNorm) -> nn.Module:
    del norm
    return nn.Identity()


# What stands where nothing is whitened, beside batch norm itself.
_REPLACEMENTS: dict[str, Callable[[_BatchNorm], nn.Module]] = {
    "group_norm": _group_norm,
    NONE: _nothing,
}
NORMS: tuple[str, ...] = (BATCH_NORM, *_REPLACEMENTS)


def replace_norms(model: nn.Module, kind: str) -> nn.Module:
    """Put another normalisation wherever a network has batch norm; the other parameters stay what they are.

    Weight and bias of a batch norm become those of its replacement. With ``"none"``, layers that had no bias because a
    batch norm followed get one, starting at zero, and activations do not overwrite what the norm used to copy. No
    random numbers are drawn.

    Args:
        model: with batch norm, changed in place; whitened layers are left as they are.
        kind: one of :data:`NORMS`; ``"batch_norm"`` changes nothing.

    Returns:
        The model.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such normalisation.
        ValueError: when the model is itself a batch norm, which cannot be replaced in place.

    Source:
        Wu and He, "Group Normalization", 2018: 32 groups, fewer where a group would have a single channel.

    Example:
        >>> replace_norms(nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8)), "group_norm")[1]
        GroupNorm(4, 8, eps=1e-05, affine=True)
    """
    if look_up("norm", kind, {name: name for name in NORMS}) == BATCH_NORM:
        return model
    if isinstance(model, _BatchNorm):
        raise ValueError("a single layer cannot be replaced in place")
    norms = [module for module in names_of(model) if isinstance(module, _BatchNorm)]
    replacements: dict[nn.Module, nn.Module] = {norm: _REPLACEMENTS[kind](norm) for norm in norms}
    replace(model, replacements)
    if kind == NONE:
        stop_overwriting(model, set(replacements.values()))
        _add_biases(model)
    return model


def _add_biases(model: nn.Module) -> None:
    for layer in model.modules():
        if is_plain(layer) and layer._parameters.get("bias") is None:
            layer.register_parameter("bias", nn.Parameter(layer.weight.new_zeros(num_outputs(layer))))
