"""From the normalisation of a run to a network that has it.

A network is built with batch norm and then converted: :func:`netdeconv.convert` whitens, ``replace_norms`` puts other
norms where nothing is whitened.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from netdeconv.lookup import look_up
from netdeconv.models.entry import Architecture
from netdeconv.models.norm_config import BATCH_NORM, NONE, PLAIN_NORMS, NormConfig
from netdeconv.nn import Freeze, WhitenedLayer, Whitening
from netdeconv.surgery import convert
from netdeconv.surgery.inplace import stop_overwriting
from netdeconv.surgery.plain import is_plain, num_outputs
from netdeconv.surgery.settings import SETTINGS, Settings
from netdeconv.surgery.tree import names_of, replace

# As Wu and He chose; a group of a single channel would erase what its mean says.
_GROUPS, _SMALLEST_GROUP = 32, 2


def settings_of(config: NormConfig, entry: Architecture | None = None) -> Settings | None:
    """Return what becomes of each kind of layer.

    Args:
        config: the normalisation.
        entry: a network's own steps for some of its layers.

    Raises:
        ValueError: when a number is out of range.
    """
    if not config.whitens:
        return None
    base = SETTINGS[config.name]
    shared = _given(config, "eps", "sampling_stride", "rows_per_feature", "momentum")
    every = shared | _given(config, "num_iterations")
    blocks = every | _given(config, "group_size", "structure")
    convolution = _changed(base.convolution, blocks)
    linear = every | _given(config, group_size="linear_group_size")
    return Settings(
        convolution=convolution,
        stem=convolution if config.stem is False else _stem(config, base.stem, shared, entry),
        linear=None if config.linear_group_size == 0 else _changed(base.linear, linear),
        grouped=_changed(base.grouped, blocks | _steps(entry.grouped if entry else None)),
        depthwise=_changed(base.depthwise, blocks | _steps(entry.depthwise if entry else None)),
        gate=_changed(base.gate, blocks),
    )


def _stem(
    config: NormConfig, stem: Whitening | None, shared: dict[str, Any], entry: Architecture | None
) -> Whitening | None:
    own = {}
    if stem is not None and stem.freeze is not None and entry is not None:
        own = _steps(entry.stem_steps) | {"freeze": Freeze() if entry.stem_freeze else None}
    if isinstance(config.freeze, tuple):
        own["freeze"] = Freeze(active=config.freeze[0], period=config.freeze[1])
    elif config.freeze is not None:
        own["freeze"] = Freeze() if config.freeze else None
    typed = _given(config, "group_size", num_iterations="stem_iterations", eps="stem_eps")
    return _changed(stem, shared | own | typed)


def _given(config: NormConfig, *names: str, **others: str) -> dict[str, Any]:
    """Settings that a run changes: of the same name, or of the name that is given for it."""
    values = {name: getattr(config, own) for name, own in {**dict(zip(names, names, strict=True)), **others}.items()}
    return {name: value for name, value in values.items() if value is not None}


def _steps(number: int | None) -> dict[str, Any]:
    return {} if number is None else {"num_iterations": number}


def _changed(whitening: Whitening | None, changes: dict[str, Any]) -> Whitening | None:
    return None if whitening is None else dataclasses.replace(whitening, **changes)


def normalise(
    model: nn.Module, config: NormConfig, entry: Architecture, *, calibration: Iterable[Any] | None = None
) -> nn.Module:
    """Return a network that was built with batch norm with the normalisation of the settings.

    Args:
        model: with batch norm.
        config: what is whitened, and what stands where nothing is.
        entry: steps that the network has for some of its layers.
        calibration: batches on which a trained network's outputs are kept.
    """
    settings = settings_of(config, entry)
    if settings is not None:
        named = {pattern: _changed(settings.convolution, _steps(steps)) for pattern, steps in entry.named.items()}
        model = convert(model, settings, named=named, calibration=calibration)
        if not config.bias:
            _remove_biases(model)
    return replace_norms(model, BATCH_NORM if config.whitens else config.name)


def _remove_biases(model: nn.Module) -> None:
    """Take the bias from whitened convolutions; the mean that whitening subtracts stays."""
    for module in model.modules():
        if isinstance(module, WhitenedLayer) and not isinstance(module, nn.Linear):
            module.register_parameter("bias", None)


def replace_norms(model: nn.Module, kind: str) -> nn.Module:
    """Put another normalisation wherever a network has batch norm; the other parameters stay what they are.

    Weight and bias of a batch norm become those of its replacement. With ``"none"``, layers that had no bias because a
    batch norm followed get one, starting at zero, and activations do not overwrite what the norm used to copy. No
    random numbers are drawn.

    Args:
        model: with batch norm, changed in place; whitened layers are left as they are.
        kind: ``"group_norm"``, ``"none"``, or ``"batch_norm"``, which changes nothing.

    Returns:
        The model.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such normalisation.
        ValueError: when the model is itself a batch norm, which cannot be replaced in place.

    Source:
        Wu and He, "Group Normalization", 2018: 32 groups, fewer where a group would have a single channel.

    Example:
        >>> replace_norms(nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8)), "group_norm")[1].num_groups
        4
    """
    if look_up("norm", kind, dict.fromkeys(PLAIN_NORMS, kind)) == BATCH_NORM:
        return model
    if isinstance(model, _BatchNorm):
        raise ValueError("a single layer cannot be replaced in place")
    norms = [module for module in names_of(model) if isinstance(module, _BatchNorm)]
    replacements: dict[nn.Module, nn.Module] = {
        norm: nn.Identity() if kind == NONE else _group_norm(norm) for norm in norms
    }
    replace(model, replacements)
    if kind == NONE:
        stop_overwriting(model, set(replacements.values()))
        _add_biases(model)
    return model


def _add_biases(model: nn.Module) -> None:
    for layer in model.modules():
        if is_plain(layer) and layer._parameters.get("bias") is None:
            layer.register_parameter("bias", nn.Parameter(layer.weight.new_zeros(num_outputs(layer))))


def _group_norm(norm: _BatchNorm) -> nn.Module:
    channels = norm.num_features
    most = max(1, min(_GROUPS, channels // _SMALLEST_GROUP))
    groups = max(divisor for divisor in range(1, most + 1) if channels % divisor == 0)
    device = next((tensor.device for tensor in (*norm.parameters(), *norm.buffers())), None)
    other = nn.GroupNorm(groups, channels, device=device)
    if norm.affine:  # some networks start elsewhere than at 1 and 0
        other.weight, other.bias = norm.weight, norm.bias
    return other
