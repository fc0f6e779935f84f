"""One line from a model with batch norm to one with whitened layers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from netdeconv.nn import WhitenedLayer
from netdeconv.nn.layer import WeightedWhitenedLayer
from netdeconv.surgery.affine import ChannelAffine
from netdeconv.surgery.batches import Forward, difference_on
from netdeconv.surgery.calibration import calibrate
from netdeconv.surgery.inplace import stop_overwriting
from netdeconv.surgery.keep import remember
from netdeconv.surgery.notices import (
    CalibrationWarning,
    NothingChangedWarning,
    PartlyConvertedWarning,
    counted,
    logger,
)
from netdeconv.surgery.plain import whitened_twin
from netdeconv.surgery.policy import Choice, Plan, Setting, make_plan
from netdeconv.surgery.selection import Selection
from netdeconv.surgery.tree import copied, refuse_wrapped, replace

_REMEDY = (
    "Layers: build the model with torch's own, say that they compute the same with netdeconv.surgery.register_layer, "
    "remove parametrizations first, or exclude them through select to convert without this warning. Norms: say what "
    "they do with netdeconv.surgery.register_norm"
)


def convert(
    model: nn.Module,
    whitening: Choice = None,
    *,
    linear: Setting = None,
    stem: Setting = None,
    grouped: Setting = None,
    depthwise: Setting = None,
    gate: Setting = None,
    named: Mapping[str, Setting] | None = None,
    select: Selection = None,
    calibration: Iterable[Any] | None = None,
    forward: Forward | None = None,
    inplace: bool = False,
) -> nn.Module:
    r"""Replace convolutions and linear layers by whitened ones, and remove the norms they make redundant.

    Without ``calibration`` the weights are kept, but for outputs whose weights have a norm over 1, or over the scale
    :math:`|\gamma|` of the norm that is removed behind them: these are scaled to it, for of a whitened input it is the
    output's deviation. The function changes: train from here. With it, weights become :math:`W D^{-1}`, so that in
    evaluation mode the outputs stay what they were: fine-tune from here.

    Converted are convolutions, transposed ones and linear layers, subclasses too where they inherit ``forward`` and
    hold their weight as a parameter. Others may compute something else (pad dynamically, standardise their weight)
    and are left, with a warning; so are, without one, children of ``nn.MultiheadAttention`` and
    ``nn.TransformerEncoderLayer``, which read weights without calling the layer. The logger ``netdeconv.surgery``
    says (INFO) what was converted and what was skipped, and why.

    Removed is a BatchNorm, SyncBatchNorm, GroupNorm or norm of :func:`netdeconv.surgery.register_norm` that
    ``select`` selects too, when ``whitening`` is not False and the nearest layer before or after it, in registration
    order, was converted; behind a layer that stays plain it stays too. An ``nn.Identity`` takes the place, or what the
    norm itself applied to its output (timm's activations); norms with fixed statistics go in calibration alone. So
    ``select="layer1"`` takes that part's norms along, and ``select="stem"`` or ``whitening=False`` keeps all of them.
    Where norms were removed, converted layers that had no bias get one, starting at zero; activations are switched to
    ``inplace=False``, for an Identity no longer gives them a tensor of their own, except right behind a layer in an
    ``nn.Sequential``, whose output is one.

    Args:
        model: any module; already whitened layers are left as they are.
        whitening: settings of all layers: a :class:`Whitening`, :class:`netdeconv.surgery.Settings` of each kind, or a
            name: ``"default"`` (also None), ``"paper"``, ``"full16"``, ``"channel"``, ``"stem"``. False leaves
            convolutions alone. Named settings of a stem hold where it reads data: at most 16 input channels.
        linear: settings of linear layers; None as ``whitening``, False to leave them alone.
        stem: likewise, of the first convolution in registration order.
        grouped: likewise, of convolutions with several groups of several input channels.
        depthwise: likewise, of convolutions with one input channel for each group.
        gate: likewise, of squeeze-and-excite gates (:class:`netdeconv.surgery.Settings` says which these are); the
            default leaves them alone, a :class:`Whitening` for all layers does not.
        named: settings of further layers by a pattern of their names, which covers as in ``select``. They have
            precedence over those of a layer's kind, a later pattern over an earlier one. None as ``whitening``,
            False to leave the layers alone.
        select: which modules may be touched. None: all. ``"stem"``: the first convolution. A pattern or
            several (``*``, ``?``, ``[...]``) of qualified names: a pattern covers the modules it names and
            all inside them; one that begins with ``!`` excludes (``"!fc"``: all but ``fc``). A function of
            name and module.
        calibration: batches on which to preserve the function: each a tensor, a tuple or list whose first
            element is the input, or a mapping of keyword arguments. Batch norms are absorbed into the layer
            they follow; others become :class:`netdeconv.surgery.ChannelAffine`; group norms, and what no
            batch reaches, stay as they are.
        forward: runs the model on one batch of ``calibration``, ``forward(model, batch)``, where calling the model with
            it is not enough (targets of a detector, a pipeline's dictionaries).
        inplace: change the model itself. Without calibration its weights remain the same parameter objects,
            so an optimiser that holds them goes on working (a new bias has to be added to it).

    Returns:
        The converted copy, or the model itself. Device, dtype, mode, requires_grad, memory format, hooks and
        sharing of modules are those of the model. No random numbers are drawn.

    Raises:
        TypeError: when a setting, ``select`` or a batch is none of the accepted things.
        ValueError: when a pattern matches no name; when the model is compiled, scripted, wrapped (DataParallel,
            DistributedDataParallel) or sharded, has lazy parameters, cannot be copied, or is itself a single layer and
            to be changed in place; with calibration, when there is no batch, one with too few samples for a layer, or
            one on which the forward fails, when two modules share a weight, or the model is on the meta device.

    Warns:
        NothingChangedWarning: when no layer was converted.
        PartlyConvertedWarning: when a layer, or a norm beside a converted one, was left though neither ``select`` nor
            a setting says so: counted by reason.
        CalibrationWarning: when outputs on the last batch differ by more than sqrt(eps) of their dtype,
            relative to the largest one. Expected where a forward is random or reads weights without calling
            the layer.

    Source:
        Ye et al., "Network Deconvolution", ICLR 2020: batch norm is removed and every layer whitens its own
        input.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        >>> print(*(type(layer).__name__ for layer in convert(net)))
        WhitenedConv2d Identity ReLU
    """
    refuse_wrapped(model)
    kinds = {"linear": linear, "stem": stem, "grouped": grouped, "depthwise": depthwise, "gate": gate}
    plan = make_plan(model, whitening, named=named, select=select, **kinds)
    if inplace and "" in plan.layers:
        raise ValueError("a single layer cannot be replaced in place: use the copy that convert(layer) returns")
    target = model if inplace else copied(model)
    if plan.layers and calibration is not None:
        return _preserving_function(target, plan, calibration, forward)
    return _apply(target, *_keeping_weights(target, plan), plan)


def _keeping_weights(model: nn.Module, plan: Plan) -> tuple[dict[nn.Module, nn.Module], dict[nn.Module, nn.Module]]:
    """Replacements of layers and norms that keep the parameters."""
    layers: dict[nn.Module, nn.Module] = {}
    removed = {name: parts for name, parts in plan.norms.items() if not parts.fixed}
    for name in plan.norms.keys() - removed.keys():
        plan.skipped[name] = "its statistics are fixed: only calibration can absorb it"
    norms = {name: parts.statistics or model.get_submodule(name) for name, parts in removed.items()}
    scales = {layer: norms[name].weight for name, layer in plan.feeding.items() if name in removed}
    for name, whitening in plan.layers.items():
        layer = model.get_submodule(name)
        layers[layer] = twin = whitened_twin(layer, whitening, bias=bool(removed))
        _shorten_rows(twin, scales.get(name))
    return layers, {model.get_submodule(name): parts.after or nn.Identity() for name, parts in removed.items()}


@torch.no_grad()
def _shorten_rows(layer: WeightedWhitenedLayer, scale: object) -> None:
    """Cut every output's weights to norm 1, or to the scale (O,) that a norm gave it, where their norm is larger.

    Of a whitened input the output's variance is that norm, squared. Weights that a norm used to scale start far larger
    in many networks, and residual sums of them grow with depth: many a network's norm starts a branch at scale zero.
    In place, for an optimiser may hold the weights.
    """
    rows = layer._weight_rows(layer.weight)
    lengths = torch.linalg.vector_norm(
        rows, dim=(1, 2), keepdim=True, dtype=torch.promote_types(rows.dtype, torch.float32)
    )
    longest = torch.ones_like(lengths)
    if isinstance(scale, Tensor):
        each = scale.detach().abs().to(lengths.dtype)  # a transposed layer has a row for every tap
        longest = each.repeat_interleave(lengths.numel() // each.numel()).view_as(lengths)
    shorter = torch.where(lengths > longest, longest / lengths, 1)
    layer.weight.copy_(layer._from_rows(rows * shorter))


def _preserving_function(model: nn.Module, plan: Plan, batches: Iterable[Any], forward: Forward | None) -> nn.Module:
    found = calibrate(model, plan, batches, forward)
    names = {module: name for name, module in model.named_modules()}
    plan.skipped.update({names[module]: reason for module, reason in found.kept.items()})
    converted = _apply(model, found.layers, found.norms, plan)
    difference = difference_on(converted, found.last, found.outputs) if found.layers else None
    if difference is not None:
        warnings.warn(
            "the converted model does not reproduce the original: outputs on the last calibration batch "
            f"{difference}. The forward may be random, or read weights without calling the layer: exclude such layers "
            "through select",
            CalibrationWarning,
            stacklevel=3,
        )
    return converted


def _apply(
    model: nn.Module,
    layers: dict[nn.Module, nn.Module],
    norms: dict[nn.Module, nn.Module],
    plan: Plan,
) -> nn.Module:
    """Replace, say what was replaced and what was not, and warn where that was nothing."""
    names = {module: name or "the model" for name, module in model.named_modules()}
    for old, new in {**layers, **norms}.items():
        logger.info("%s: %s -> %s%s", names[old], type(old).__name__, type(new).__name__, _blocks(new))
        if isinstance(new, WhitenedLayer):
            new.statistics.layer = names[old]
    for name, reason in plan.skipped.items():
        logger.info("%s: skipped, %s", name or "the model", reason)
    why = counted(plan.skipped[name] for name in (plan.refused if layers else plan.skipped))
    if not layers:
        message = f"convert changed nothing: no selected layer can be whitened that is not yet{why and ': '}{why}"
        warnings.warn(message, NothingChangedWarning, stacklevel=3)
        return model
    if why:
        warnings.warn(
            f"convert left layers or norms as they are: {why}. {_REMEDY}", PartlyConvertedWarning, stacklevel=3
        )
    for old, new in norms.items():
        remember(new, old)
    converted = replace(model, {**layers, **norms})
    if norms:
        handing_on = {new for new in norms.values() if isinstance(new, (nn.Identity, ChannelAffine))}
        stop_overwriting(converted, handing_on)
    return converted


def _blocks(layer: nn.Module) -> str:
    """The blocks that a whitened layer settled on, beside those that were asked for."""
    if not isinstance(layer, WhitenedLayer):
        return ""
    size, grouping = layer.sampler.matrix_size, layer.sampler.grouping
    return (
        f": {layer.whitening.structure}, {grouping.num_matrices} x {size}x{size}, {grouping.num_blocks} group(s) "
        f"of {grouping.block_channels} channels (asked: {layer.whitening.group_size})"
    )
