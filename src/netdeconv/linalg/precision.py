"""How statistics and inverse roots are computed: float32 or wider, outside autocast, recorded or in place."""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

# Torch has no public word for this. Where its private one is gone nothing is written to, which is slower and as exact.
_transformed = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)

_NOTHING = nullcontext()


class Function(torch.autograd.Function):
    """A function of autograd whose signature is at hand: otherwise torch works it out in every call."""

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        cls.forward.__signature__ = inspect.signature(cls.forward)  # type: ignore[attr-defined]


def full_precision(tensor: Tensor) -> AbstractContextManager[object]:
    """Context without autocast on the tensor's device; also guards backward passes run inside autocast."""
    device = tensor.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else _NOTHING


def statistics_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of statistics over data of ``dtype``: float32 for narrower types, else itself."""
    return torch.promote_types(dtype, torch.float32)


def symmetrize(matrix: Tensor) -> Tensor:
    """The symmetric part of matrices (..., D, D)."""
    return (matrix + matrix.mT) * 0.5


def frobenius_norm(matrix: Tensor) -> Tensor:
    """||A||_F of matrices (..., D, D) as (..., 1, 1), at least the smallest number; it squares scaled entries."""
    tiny = torch.finfo(matrix.dtype).tiny
    largest = matrix.detach().abs().amax((-2, -1), keepdim=True).clamp_min(tiny)
    norm: Tensor = torch.linalg.matrix_norm(matrix / largest, keepdim=True) * largest
    return norm.clamp_min(tiny)


def may_write() -> bool:
    """Whether memory at hand may be written to: autograd records nothing, nothing is traced or transformed."""
    return not (torch.is_grad_enabled() or torch.compiler.is_compiling() or _transformed())


def either(
    function: type[torch.autograd.Function], base: type[torch.autograd.Function]
) -> type[torch.autograd.Function]:
    """A function with a forward derivative, or, for compilers, which refuse those, its base without one."""
    return base if torch.compiler.is_compiling() else function


def inverse(matrix: Tensor) -> Tensor:
    """Inverses of matrices (..., D, D), one after the other: torch 2.14's batched LU fails with several threads."""
    if matrix.shape[-1] == 1:  # depthwise layers have hundreds
        return matrix.reciprocal()
    flat = matrix.reshape(-1, *matrix.shape[-2:])
    return torch.stack([torch.linalg.inv(one) for one in flat]).reshape(matrix.shape)
