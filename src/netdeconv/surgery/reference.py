"""Checkpoints of the published implementation, and of its successor ND++, in whitened layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from netdeconv.nn import WhitenedLayer

# published name -> ours; ND++ says running_cov_isqrt
_NAMES = {
    "running_deconv": "running_whitening",
    "running_cov_isqrt": "running_whitening",
    "running_mean1": "running_mean",
}
_WRAPPER = "module."
# not in published checkpoints, and not needed from them
_IMPLIED = ("num_batches_tracked", "num_steps")


class LoadedKeys(NamedTuple):
    """What :func:`load_reference_state_dict` found no counterpart for, in the form that torch returns.

    Args:
        missing_keys: names of the model's state that the checkpoint does not hold.
        unexpected_keys: translated names of the checkpoint that the model does not have.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


def load_reference_state_dict(model: nn.Module, state_dict: Mapping[str, Tensor], *, strict: bool = True) -> LoadedKeys:
    """Load a checkpoint of the published implementation or of ND++.

    Keys are translated (``running_deconv`` and ``running_cov_isqrt``, ``running_mean1``), the prefix
    ``module.`` of DataParallel is dropped, and statistics are reshaped: means (D,) and (G D,) to (G, D),
    matrices (D, D) to (G, D, D).

    Args:
        model: the same network with ``layout="reference"`` in every whitened layer: that layout groups and
            averages as the published layers do, so their numbers mean the same.
        state_dict: the checkpoint's tensors by name.
        strict: whether keys without a counterpart are an error.

    Returns:
        Missing and unexpected keys; both empty where ``strict``. ``num_batches_tracked``, which the published
        convolutions do not save, is never missing: loaded layers count one batch.

    Raises:
        ValueError: when the model has no whitened layer or one of another layout; when ``state_dict`` holds
            something else than tensors; when keys are missing or unexpected and ``strict``; when shapes do
            not fit. The model is then as before.

    Source:
        The published FastDeconv, Delinear and ChannelDeconv (facts of their state:
        docs/differences-from-reference.md).

    Example:
        >>> layer = WhitenedLinear(4, 2, whitening=Whitening(layout="reference"))
        >>> checkpoint = {"weight": torch.ones(2, 4), "bias": torch.ones(2),
        ...               "running_mean": torch.zeros(4), "running_deconv": torch.eye(4)}
        >>> load_reference_state_dict(layer, checkpoint)
        LoadedKeys(missing_keys=[], unexpected_keys=[])
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, WhitenedLayer)}
    _refuse_layouts(layers)
    wrong = [key for key, value in state_dict.items() if not isinstance(value, Tensor)]
    if wrong:
        raise ValueError(
            f"state_dict must hold tensors, but {wrong[:5]} are none: is it a checkpoint around the state "
            "(try checkpoint['state_dict'] or checkpoint['net'])?"
        )
    own = model.state_dict()
    translated = _translate(_unwrap(state_dict, own), layers)
    keys = LoadedKeys(
        [key for key in own if key not in translated and not key.endswith(_IMPLIED)],
        [key for key in translated if key not in own],
    )
    if strict and (keys.missing_keys or keys.unexpected_keys):
        raise ValueError(
            f"the checkpoint is of another network: missing {keys.missing_keys}, unexpected {keys.unexpected_keys}"
        )
    fitting = {key: _fit(key, value, own[key]) for key, value in translated.items() if key in own}
    for name, layer in layers.items():
        prefix = f"{name}." if name else ""
        if f"{prefix}running_whitening" in fitting:
            fitting.setdefault(f"{prefix}num_batches_tracked", torch.ones_like(layer.num_batches_tracked))
    model.load_state_dict(fitting, strict=False)
    return keys


def _refuse_layouts(layers: Mapping[str, WhitenedLayer]) -> None:
    if not layers:
        raise ValueError('the model has no whitened layer: convert it with Whitening(layout="reference") first')
    other = [name or "the model" for name, layer in layers.items() if layer.whitening.layout != "reference"]
    if other:
        raise ValueError(
            f'layers {other} have another layout: a published checkpoint needs Whitening(layout="reference") in all'
        )


def _unwrap(state_dict: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The checkpoint without DataParallel's prefix, unless the model itself has it."""
    if not all(key.startswith(_WRAPPER) for key in state_dict) or any(key.startswith(_WRAPPER) for key in own):
        return state_dict
    return {key.removeprefix(_WRAPPER): value for key, value in state_dict.items()}


def _translate(state_dict: Mapping[str, Tensor], layers: Mapping[str, WhitenedLayer]) -> dict[str, Tensor]:
    """The checkpoint under our names."""
    translated = {}
    for key, value in state_dict.items():
        name, _, leaf = key.rpartition(".")
        if name in layers:
            leaf = _NAMES.get(leaf, leaf)
        translated[f"{name}.{leaf}" if name else leaf] = value
    return translated


def _fit(key: str, value: Tensor, own: Tensor) -> Tensor:
    """A tensor in the shape of ours: published statistics lack, or flatten, the dimension of conv groups."""
    statistic = "running_" in key.rpartition(".")[2]
    if value.shape == own.shape:
        return value
    if statistic and value.numel() == own.numel() and value.shape[-1] in (1, own.shape[-1], own.numel()):
        return value.reshape(own.shape)
    raise ValueError(f"{key}: the checkpoint has shape {tuple(value.shape)}, the model {tuple(own.shape)}")
