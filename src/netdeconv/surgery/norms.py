"""Which modules are norms, what else they do, and how to say so of further ones."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from netdeconv.surgery.plain import changed_behaviour, qualified_name


class NormParts(NamedTuple):
    """What a norm consists of.

    Args:
        statistics: what has ``running_mean``, ``running_var``, ``eps``, ``weight`` and ``bias`` as batch norm has them;
            None for a norm that is not affine in evaluation mode (group norm).
        after: what the norm applies to its own output, such as an activation; None: nothing.
        fixed: whether its statistics are constants: then only a calibrated conversion may absorb it.
    """

    statistics: nn.Module | None
    after: nn.Module | None = None
    fixed: bool = False


Split: TypeAlias = Callable[[nn.Module], NormParts]

_AFFINE = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_KINDS: tuple[type[nn.Module], ...] = (*_AFFINE, nn.GroupNorm)


def register_norm(kind: type[nn.Module] | str, split: Split) -> None:
    """Tell :func:`netdeconv.convert` of a norm that it does not know, or that does more than normalise.

    Known are torch's batch and group norms, subclasses of them that inherit ``forward``, and norms of timm (batch norm
    or group norm with activation and drop), torchvision and detectron2 (batch norm with fixed statistics). fastai,
    MONAI and segmentation-models-pytorch build with torch's own.

    Args:
        kind: the class, subclasses not included, or its qualified name, ``"package.module.Class"``, which need not be
            imported.
        split: from a module of this class to its :class:`NormParts`.

    Example:
        >>> class NormAndRelu(nn.BatchNorm2d):
        ...     def forward(self, x):
        ...         return super().forward(x).relu()
        >>> register_norm(NormAndRelu, lambda norm: NormParts(norm, after=nn.ReLU()))
    """
    _REGISTERED[kind if isinstance(kind, str) else qualified_name(kind)] = split


def norm_parts(module: nn.Module) -> NormParts | None:
    """What a norm consists of; None for what is no norm, or does what is not known."""
    if not is_norm(module):
        return None
    split = _REGISTERED.get(qualified_name(type(module)))
    if split is not None:
        return split(module)
    kind = next((kind for kind in _KINDS if isinstance(module, kind)), None)
    if kind is None or changed_behaviour(module, kind) is not None:
        return None
    return NormParts(None if kind is nn.GroupNorm else module)


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm, known or not, that whitening may stand in for.

    A group norm of one group is a layer norm: it bounds every image alone, which no statistics of a batch do, and a
    product of activations, as in attention, may grow without it.
    """
    if isinstance(module, nn.GroupNorm) and module.num_groups == 1:
        return False
    return isinstance(module, (_BatchNorm, nn.GroupNorm)) or qualified_name(type(module)) in _REGISTERED


def _of_timm(norm: nn.Module, *, affine: bool = True, fixed: bool = False) -> NormParts:
    """timm's norms apply a drop and an activation to their output, in this order."""
    parts = [getattr(norm, name, None) for name in ("drop", "act")]
    after = [part for part in parts if isinstance(part, nn.Module) and not isinstance(part, nn.Identity)]
    both = nn.Sequential(*after) if len(after) > 1 else next(iter(after), None)
    return NormParts(norm if affine else None, both, fixed)


_not_affine, _frozen = functools.partial(_of_timm, affine=False), functools.partial(_of_timm, fixed=True)
_REGISTERED: dict[str, Split] = {
    "timm.layers.norm_act.BatchNormAct2d": _of_timm,
    "timm.layers.norm_act.SyncBatchNormAct": _of_timm,
    "timm.layers.norm.GroupNorm": _not_affine,
    "timm.layers.norm_act.GroupNormAct": _not_affine,
    "timm.layers.filter_response_norm.FilterResponseNormAct2d": _not_affine,
    "timm.layers.norm_act.FrozenBatchNormAct2d": _frozen,
    "torchvision.ops.misc.FrozenBatchNorm2d": _frozen,
    "detectron2.layers.batch_norm.FrozenBatchNorm2d": _frozen,
}
