"""Deployment: whitened layers become the plain layers that they are in evaluation mode."""

from __future__ import annotations

import warnings
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from netdeconv.nn import ChannelWhitening, WhitenedLayer
from netdeconv.surgery.batches import difference_on
from netdeconv.surgery.keep import restore_norms
from netdeconv.surgery.notices import NothingChangedWarning, logger
from netdeconv.surgery.plain import is_weighted, plain_twin
from netdeconv.surgery.tree import copied, names_of, refuse_meta, refuse_wrapped, replace

# by the number of dimensions of an input (N, C, ...)
_POINTWISE: dict[int, Any] = {2: nn.Linear, 3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}


def fold(model: nn.Module, *, keep_norms: Any = None, inplace: bool = False) -> nn.Module:
    r"""Replace whitened layers by plain torch layers with the outputs of evaluation mode.

    The plain weight is :math:`D w`, the plain bias :math:`b - \mu D w`. Folded layers are ``nn.Conv1d``,
    ``Conv2d``, ``Conv3d``, ``ConvTranspose2d`` and ``Linear`` with a bias, and have no other state than
    weight and bias; a :class:`netdeconv.ChannelWhitening` becomes a 1x1 convolution, or a linear layer where
    its input was (N, C).

    Args:
        model: any module with whitened layers.
        keep_norms: one batch (a tensor, a tuple or list whose first element is the input, or a mapping of keyword
            arguments): fold into the keys of the original class, so that its ``load_state_dict``, ``from_pretrained``
            and reparameterisation go on working. The batch norms that :func:`netdeconv.convert` removed come back, with
            mean 0, variance 1 - eps, weight 1, and for a bias that of the layer that feeds them, which loses it where
            the original had none. The batch shows which layer that is. Evaluate such a network, or train it as batch
            norm: in training mode its norms normalise.
        inplace: change the model itself instead of a copy.

    Returns:
        The folded copy, or the model itself. In training mode, too, it computes what evaluation mode
        computed.

    Raises:
        ValueError: when a ChannelWhitening has seen no input yet, so that its number of dimensions is
            unknown; when the model is compiled, scripted, wrapped (DataParallel, DistributedDataParallel), sharded, on
            the meta device, cannot be copied, or is itself a single layer and to be changed in place; when a whitened
            layer's weight is parametrized; with ``keep_norms``, when the original's state has no place for a
            bias, or outputs on the batch are not the same.

    Warns:
        NothingChangedWarning: when there is no whitened layer to fold.

    Numerics:
        The product is computed in float32 or wider and cast to the parameters' dtype.

    Example:
        >>> fold(nn.Sequential(WhitenedLinear(4, 2)))
        Sequential(
          (0): Linear(in_features=4, out_features=2, bias=True)
        )
    """
    refuse_wrapped(model)
    refuse_meta(model)
    _refuse_computed(model)
    if inplace and isinstance(model, WhitenedLayer):
        raise ValueError("a single layer cannot be replaced in place: use the copy that fold(layer) returns")
    target = model if inplace else copied(model)
    replacements: dict[nn.Module, nn.Module] = {}
    for layer, names in names_of(target).items():
        if isinstance(layer, ChannelWhitening):
            replacements[layer] = _pointwise(layer, names[0])
        elif is_weighted(layer):
            replacements[layer] = plain_twin(layer, *layer.folded_weight_and_bias())
        elif isinstance(layer, WhitenedLayer):
            logger.info("%s: skipped, a subclass that may compute something else", names[0] or "the model")
    if not replacements:
        warnings.warn("fold changed nothing: the model has no whitened layer", NothingChangedWarning, stacklevel=2)
    if keep_norms is None:
        return replace(target, replacements)
    restored = restore_norms(target, replacements, keep_norms)
    folded = replace(target, replacements | restored.norms)
    difference = difference_on(folded, restored.call, restored.outputs)
    if difference is not None:
        raise ValueError(f"the folded model's outputs on keep_norms' batch {difference}: fold without keep_norms")
    return folded


def _refuse_computed(model: nn.Module) -> None:
    """Raise for a layer whose weight is computed when it is called: the plain layer would lose what computes it."""
    for name, layer in model.named_modules():
        by_hook = is_weighted(layer) and layer._parameters.get("weight") is None
        if isinstance(layer, WhitenedLayer) and (by_hook or parametrize.is_parametrized(layer)):
            raise ValueError(
                f"{name!r}: its weight is parametrized: remove the parametrizations first (of the older tools: "
                "prune.remove, remove_weight_norm, remove_spectral_norm)"
            )


def _pointwise(layer: ChannelWhitening, name: str) -> nn.Module:
    """The layer without spatial extent that a channel whitening is in evaluation mode."""
    dims = layer.input_dims
    if dims is None:
        raise ValueError(
            f"ChannelWhitening {name or 'the model'!r} has seen no input: it may become a linear layer "
            "or a convolution; run one batch through the model first"
        )
    if dims not in _POINTWISE:
        raise ValueError(f"ChannelWhitening {name!r} saw inputs of {dims} dimensions: no plain layer fits")
    matrix, bias = layer.folded_matrix_and_bias()
    sizes = (layer.num_features, layer.num_features, *(1,) * (dims > 2))
    plain: nn.Module = _POINTWISE[dims](*sizes, device="meta", dtype=matrix.dtype)
    plain.weight = nn.Parameter(matrix.reshape(*matrix.shape, *(1,) * (dims - 2)))
    plain.bias = nn.Parameter(bias)
    return plain
