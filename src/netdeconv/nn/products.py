r"""Products of a layer's weight with whitening matrices, and their hand-written gradient.

Letters: as in linalg/grouping.py; O outputs per group.
The data is not transformed where the weight is cheaper: (x - mean) D w + b is computed as x (D w) + (b - mean D w).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from netdeconv.linalg import Grouping
from netdeconv.linalg.precision import full_precision

# Beyond this many steps D amplifies weak directions so much that its product is not rounded before the last cast.
_MAX_ITERATIONS_IN_BFLOAT16 = 7


def product_dtype(dtype: torch.dtype, statistics: torch.dtype, num_iterations: int) -> torch.dtype:
    """Where D w is computed, for a layer that computes in ``dtype``.

    bfloat16 products accumulate in float32; the rounding of D is then of the size of the rounding of the input.
    Half precision is left out for its range.
    """
    if dtype == torch.bfloat16 and num_iterations <= _MAX_ITERATIONS_IN_BFLOAT16:
        return dtype
    return torch.promote_types(dtype, statistics)


def whiten_weight(
    weight: Tensor,
    mean: Tensor,
    matrix: Tensor,
    grouping: Grouping,
    *,
    factor: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """Multiply a layer's weight by its whitening matrices.

    Args:
        weight: rows of a convolution or linear layer.
        mean: of the features.
        matrix: whitening matrices, symmetric.
        grouping: the blocks.
        factor: of the matrices, whose gradient costs nothing beyond the weight's when they are constants; None: one.
        dtype: of the product; None: of the statistics.

    Shapes:
        weight (G O, C/G, K), mean (G, D), matrix (G, D, D), factor (G,); results (G O, C/G, K) and the response to
        the mean (G O,).

    Returns:
        ``D w`` in ``dtype``, and ``mean D w`` in the statistics' dtype, which the layer's bias has to lose.
    """
    product, response = _WhitenedWeight.apply(weight, mean, matrix, factor, grouping, dtype or matrix.dtype)
    return product, response


def to_blocks(weight: Tensor, size: int, grouping: Grouping) -> Tensor:
    """(G O, C/G, K) as blocks whose last dimension multiplies D of this size: (G, O, S, D) or (G, O, S, K, B)."""
    grouped = weight.unflatten(0, (grouping.num_matrices, -1))
    if grouping.interleaved and size == weight.shape[2] * grouping.block_channels and weight.shape[2] > 1:
        return grouping.split_patches(grouped)
    within = Grouping(1, grouping.num_blocks, grouping.block_channels, grouping.interleaved)
    return within.split(grouped, 2).squeeze(2).transpose(-1, -2)  # from G O S B K


def from_blocks(blocks: Tensor, grouping: Grouping, shape: torch.Size, *, channels_last: bool = False) -> Tensor:
    """The inverse of :func:`to_blocks`, to the weight's ``shape``; with neighbouring channels where it can."""
    if blocks.dim() == 4:
        return grouping.merge_patches(blocks, shape[2]).reshape(shape)
    within = Grouping(1, grouping.num_blocks, grouping.block_channels, grouping.interleaved)
    if channels_last:  # G O K S B
        rows = within.merge(blocks.transpose(2, 3).unsqueeze(3), 3)
        return rows.reshape(shape[0], shape[2], shape[1]).transpose(1, 2)
    return within.merge(blocks.transpose(-1, -2).unsqueeze(2), 2).reshape(shape)


def _rows(weight: Tensor, size: int, grouping: Grouping, dtype: torch.dtype) -> tuple[Tensor, torch.Size]:
    """Rows (G, n, D) of a weight's blocks, cast before they are copied, and the shape of the blocks."""
    blocks = to_blocks(weight.to(dtype), size, grouping)
    return blocks.reshape(grouping.num_matrices, -1, size), blocks.shape


class _WhitenedWeight(torch.autograd.Function):
    """Keeps weight, mean and matrix alone; the blocks are made again in backward, which is differentiable itself."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor,
        mean: Tensor,
        matrix: Tensor,
        factor: Tensor | None,
        grouping: Grouping,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        ctx.grouping, ctx.dtype = grouping, dtype
        ctx.save_for_backward(weight, mean, matrix, factor)
        with full_precision(weight):
            rows, shape = _rows(weight, matrix.shape[-1], grouping, dtype)
            product = torch.bmm(rows, _times(matrix, factor).to(dtype))
            response = torch.bmm(product, mean.to(dtype).unsqueeze(-1)).to(mean.dtype)
            return (
                _like(weight, product.view(shape), grouping),
                response.view(weight.shape[0], -1).sum(1),
            )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weight, mean, matrix, factor = ctx.saved_tensors
        grad_product, grad_response = grads
        grouping, dtype = ctx.grouping, ctx.dtype
        g, size = matrix.shape[:2]
        grad_matrix = grad_mean = grad_factor = None
        with full_precision(weight):
            scaled = _times(matrix, factor)
            grad_rows, shape = _rows(grad_product, size, grouping, dtype)
            # a row's share in its output's response, (G, n, 1)
            share = grad_response.view(g, -1, 1).to(dtype)
            share = share.expand(-1, -1, grad_rows.shape[1] // share.shape[1]).reshape(g, -1, 1)
            grad_rows = torch.baddbmm(grad_rows, share, mean.to(dtype).unsqueeze(1))
            grad_blocks = torch.bmm(grad_rows, scaled.to(dtype)).view(shape)
            grad_weight = _like(weight, grad_blocks, grouping).to(weight.dtype)
            if any(ctx.needs_input_grad[1:3]):
                rows, _ = _rows(weight, size, grouping, dtype)
                pull = torch.bmm(rows.mT, share).to(matrix.dtype)  # (G, D, 1)
                grad_mean = torch.bmm(scaled, pull).squeeze(-1)
            if ctx.needs_input_grad[2]:
                grad_matrix = _times(torch.bmm(rows.mT, grad_rows).to(matrix.dtype), factor)
            if factor is not None:
                # the outputs are linear in the weight and in the factor: <w, dw> = f df
                inner = torch.linalg.vecdot(weight.reshape(g, -1), grad_weight.reshape(g, -1))
                grad_factor = inner.to(factor.dtype) / factor
        return grad_weight, grad_mean, grad_matrix, grad_factor, None, None


def _like(weight: Tensor, blocks: Tensor, grouping: Grouping) -> Tensor:
    """Blocks as a weight with another's memory format: every other would cost the convolution a slow copy."""
    return from_blocks(blocks, grouping, weight.shape, channels_last=weight.stride(1) < weight.stride(2))


def _times(matrix: Tensor, factor: Tensor | None) -> Tensor:
    return matrix if factor is None else matrix * factor[:, None, None]
