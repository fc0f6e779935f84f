"""Product of a weight's kernel taps with whitening matrices, and its hand-written gradient.

Letters: as in linalg/grouping.py; O outputs per group.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from netdeconv.linalg.precision import full_precision


def whiten_taps(weight: Tensor, taps: Tensor, dtype: torch.dtype) -> Tensor:
    """Multiply the kernel taps of a weight (G O, C/G, K) by symmetric matrices (G, K, K), in ``dtype``."""
    product: Tensor = _WhitenedTaps.apply(weight, taps, dtype)
    return product


class _WhitenedTaps(torch.autograd.Function):
    """Keeps weight and matrix alone; the weight is cast again in backward, which is differentiable itself."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, taps: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.dtype = dtype
        ctx.save_for_backward(weight, taps)
        with full_precision(weight):
            return _times_taps(weight.to(dtype), taps.to(dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        weight, taps = ctx.saved_tensors
        grad_taps = None
        with full_precision(weight):
            grad_weight = _times_taps(grads[0], taps.to(ctx.dtype)).to(weight.dtype)
            if ctx.needs_input_grad[1]:
                left = weight.to(ctx.dtype).unflatten(0, (taps.shape[0], -1))  # G O C/G K
                right = grads[0].unflatten(0, (taps.shape[0], -1))
                grad_taps = (left.mT @ right).sum(1, dtype=taps.dtype)
        return grad_weight, grad_taps, None


def _times_taps(weight: Tensor, taps: Tensor) -> Tensor:
    if weight.stride(1) < weight.stride(2):  # neighbouring channels: from the left, without a copy
        kernels = weight.transpose(1, 2).unflatten(0, (taps.shape[0], -1))
        from_left: Tensor = taps.unsqueeze(1) @ kernels
        return from_left.flatten(0, 1).transpose(1, 2)
    rows: Tensor = weight.reshape(taps.shape[0], -1, taps.shape[-1]) @ taps
    return rows.reshape(weight.shape)
