"""Function-preserving conversion: weights that undo the whitening on the data of given batches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from netdeconv.nn import Whitening, statistics_mode
from netdeconv.nn.layer import WeightedWhitenedLayer
from netdeconv.surgery.affine import ChannelAffine
from netdeconv.surgery.batches import Call, Forward, calls
from netdeconv.surgery.norms import NormParts
from netdeconv.surgery.plain import is_plain, num_outputs, padded, whitened_twin
from netdeconv.surgery.policy import Plan
from netdeconv.surgery.trace import Trace
from netdeconv.surgery.tree import evaluation_mode, refuse_meta


class Calibrated:
    """What a calibration found: replacements, and the last batch with the original's outputs."""

    def __init__(self, last: Call, outputs: Any) -> None:
        self.last, self.outputs = last, outputs
        self.layers: dict[nn.Module, nn.Module] = {}
        self.norms: dict[nn.Module, nn.Module] = {}
        self.kept: dict[nn.Module, str] = {}


def calibrate(model: nn.Module, plan: Plan, batches: Iterable[Any], forward: Forward | None = None) -> Calibrated:
    """Run the batches through the model in evaluation mode and build the layers that preserve its function.

    Batch norms whose only input is a converted layer's output, read by nothing else, are absorbed into that
    layer; others become :class:`ChannelAffine`. The model itself is not changed.
    """
    refuse_meta(model)
    layers = {model.get_submodule(name): whitening for name, whitening in plan.layers.items()}
    norms = {model.get_submodule(name): parts for name, parts in plan.norms.items()}
    _refuse_tied(model, plan.layers)
    twins = {layer: _fresh_twin(layer, whitening) for layer, whitening in layers.items()}
    trace = Trace(layers, norms)
    result = _observe(model, twins, trace, calls(batches, model, forward))
    absorbed: dict[nn.Module, nn.Module] = {}
    for norm, parts in norms.items():
        reason = _obstacle(parts) if norm in trace.called else "no calibration batch reached it"
        if reason is not None or parts.statistics is None:
            result.kept[norm] = reason or ""
            continue
        layer = trace.absorbing_layer(norm)
        if layer is None:
            affine = _affine(parts.statistics)
            result.norms[norm] = affine if parts.after is None else nn.Sequential(affine, parts.after)
        else:
            absorbed[layer] = parts.statistics
            result.norms[norm] = parts.after or nn.Identity()
    for layer, twin in twins.items():
        if layer in trace.called:
            twin.assign_folded_(*_plain_function(layer, absorbed.get(layer)))
            result.layers[layer] = twin
        else:
            result.kept[layer] = "no calibration batch reached it"
    return result


def _fresh_twin(layer: nn.Module, whitening: Whitening) -> WeightedWhitenedLayer:
    """A twin with parameters of its own: they will differ, and the originals may be shared."""
    twin = whitened_twin(layer, whitening, bias=True)
    for name, parameter in list(twin.named_parameters(recurse=False)):
        setattr(twin, name, nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad))
    return twin


def _observe(
    model: nn.Module, twins: dict[nn.Module, WeightedWhitenedLayer], trace: Trace, runs: Iterable[Call]
) -> Calibrated:
    """Show every twin its layer's inputs, with equal weight of all batches."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(evaluation_mode(model))
        for twin in twins.values():
            stack.enter_context(statistics_mode(twin, "average"))
        names = {layer: name for name, layer in model.named_modules()}
        for layer, twin in twins.items():
            twin.statistics.layer = names[layer] or "the model"
            hook = layer.register_forward_pre_hook(_observer(twin), with_kwargs=True)
            stack.callback(hook.remove)
        result = None
        for number, call in enumerate(runs):
            with trace:
                outputs = _run(model, call, number)
                trace.count_reads(outputs)
            result = Calibrated(call, outputs)
    assert result is not None
    return result


class _UnusableBatchError(ValueError):
    """Of a layer; what went wrong is said already."""


def _run(model: nn.Module, call: Call, number: int) -> Any:
    try:
        return call.run(model)
    except _UnusableBatchError:
        raise
    except Exception as error:
        raise ValueError(
            f"the model fails on calibration batch {number} ({type(error).__name__}: {error}): give batches as the "
            "model takes them, or forward=, which runs it on one"
        ) from error


def _refuse_tied(model: nn.Module, names: Iterable[str]) -> None:
    """Raise where calibration would give two layers different values of one parameter."""
    owners: dict[Any, str] = {}
    for name in names:
        other = owners.setdefault(model.get_submodule(name).weight, name)
        if other != name:
            raise ValueError(
                f"the weight of {other!r} and {name!r} is one parameter, and calibration would need two: exclude them "
                "through select, or convert without calibration"
            )


def _observer(twin: WeightedWhitenedLayer) -> Any:
    name = twin.statistics.layer

    def observe(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            with torch._C.DisableTorchFunction():  # what the twin reads is no read of the model's
                twin.observe(padded(layer, args[0] if args else kwargs["input"]))
        except ValueError as error:
            raise _UnusableBatchError(f"calibrating {name}: {str(error).removeprefix(name + ': ')}") from error

    return observe


def _obstacle(parts: NormParts) -> str | None:
    """Why a norm is no function of one channel in evaluation mode, or None."""
    if parts.statistics is None:
        return "a group norm is not affine: it cannot be absorbed without changing the function"
    if not isinstance(parts.statistics.running_mean, Tensor):
        return "it has no running statistics, so its evaluation depends on the batch"
    return None


def _affine_of(norm: Any) -> tuple[Tensor, Tensor]:
    """Scale and shift, in float64, of a batch norm in evaluation mode."""
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -norm.running_mean.double() * scale
    if norm.bias is not None:
        shift = shift + norm.bias.detach().double()
    return scale, shift


def _affine(norm: Any) -> ChannelAffine:
    scale, shift = _affine_of(norm)
    like = norm.running_mean if norm.weight is None else norm.weight
    affine = ChannelAffine(scale.numel(), device=like.device, dtype=like.dtype)
    with torch.no_grad():
        affine.weight.copy_(scale)
        affine.bias.copy_(shift)
    affine.requires_grad_(like.requires_grad or norm.weight is None)
    return affine


def _plain_function(layer: nn.Module, norm: nn.Module | None) -> tuple[Tensor, Tensor]:
    """Weight and bias, in float64, of the plain layer followed by the norm that it absorbs."""
    assert is_plain(layer)
    weight = layer.weight.detach().double()
    bias = weight.new_zeros(num_outputs(layer)) if layer.bias is None else layer.bias.detach().double()
    if norm is None:
        return weight, bias
    scale, shift = _affine_of(norm)
    if isinstance(layer, _ConvTransposeNd):  # (G C, O, taps): outputs are the second dimension of each group
        groups = weight.unflatten(0, (layer.groups, -1))
        weight = (groups * scale.view(layer.groups, 1, -1, *(1,) * (weight.dim() - 2))).view_as(weight)
    else:
        weight = weight * scale.view(-1, *(1,) * (weight.dim() - 1))
    return weight, bias * scale + shift
