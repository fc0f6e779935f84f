"""Folding into the original's layers and norms: what biases they have no place for goes into neutral batch norms."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from netdeconv.surgery.affine import ChannelAffine
from netdeconv.surgery.batches import Call, calls
from netdeconv.surgery.norms import norm_parts
from netdeconv.surgery.plain import bias_was_added
from netdeconv.surgery.trace import Trace
from netdeconv.surgery.tree import evaluation_mode


class Restored(NamedTuple):
    """Norms to be put back, and what the model computed before, on the batch."""

    norms: dict[nn.Module, nn.Module]
    call: Call
    outputs: Any


def remember(place: nn.Module, norm: nn.Module) -> None:
    """Note in the module that stands in a norm's place which norm it was; no state, no parameter, no memory."""
    vars(place)["_replaced_norm"] = copy.deepcopy(norm).to("meta")


@torch.no_grad()
def restore_norms(model: nn.Module, plain: Mapping[nn.Module, nn.Module], batch: Any) -> Restored:
    """Batch norms for the places of those that a conversion removed; one batch shows which layer feeds which norm.

    Of the ``plain`` twins of whitened layers those that had no bias give theirs to the norm that they feed.
    """
    places = {module: vars(module)["_replaced_norm"] for module in model.modules() if "_replaced_norm" in vars(module)}
    names = {module: name for name, module in model.named_modules()}
    trace, call = Trace(plain, places), next(iter(calls([batch], model)))
    with evaluation_mode(model), trace:
        outputs = call.run(model)
        trace.count_reads(outputs)
    norms: dict[nn.Module, nn.Module] = {}
    for place, norm in places.items():
        layer = trace.absorbing_layer(place)
        twin = plain[layer] if layer is not None and bias_was_added(layer) else None
        bias = None if twin is None else twin.bias
        norms[place] = _restored(norm, place, bias, next(model.parameters()), names[place])
        if twin is not None:
            twin.register_parameter("bias", None)
    left = [names[layer] for layer, twin in plain.items() if bias_was_added(layer) and twin.bias is not None]
    if left:
        raise ValueError(
            f"{', '.join(left[:3])}{' ...' if left[3:] else ''}: the original had no bias there, and the layer feeds "
            "no batch norm that could hold it: fold without keep_norms"
        )
    return Restored(norms, call, outputs)


def _restored(norm: nn.Module, place: nn.Module, bias: Any, like: Tensor, name: str) -> nn.Module:
    """A norm that in evaluation mode adds the bias, and does what the place did beside."""
    new = copy.deepcopy(norm).to_empty(device=like.device).to(like.dtype)
    parts = norm_parts(new)
    if parts is None or parts.statistics is None or not isinstance(parts.statistics.running_mean, Tensor):
        raise ValueError(f"{name}: {type(norm).__name__} cannot stay as a batch norm that does nothing else")
    statistics: Any = parts.statistics
    parts_of_place = [place] if not isinstance(place, nn.Sequential) else list(place)
    affine = next((part for part in parts_of_place if isinstance(part, ChannelAffine)), None)
    if parts.after is not None:
        after = place if affine is None else parts_of_place[-1]
        parts.after.load_state_dict(after.state_dict())
    scale = torch.ones_like(statistics.running_mean) if affine is None else affine.weight
    shift = torch.zeros_like(scale) if affine is None else affine.bias
    if bias is not None:
        shift = shift + scale * bias
    if statistics.weight is not None and statistics.bias is not None:
        statistics.weight.copy_(scale)
        statistics.bias.copy_(shift)
        statistics.running_mean.zero_()
        statistics.running_var.fill_(1 - statistics.eps)
    else:  # the function of a channel by its statistics
        statistics.running_var.copy_(scale.double().pow(-2) - statistics.eps)
        statistics.running_mean.copy_(-shift / scale)
    if getattr(statistics, "num_batches_tracked", None) is not None:
        statistics.num_batches_tracked.zero_()
    return new
