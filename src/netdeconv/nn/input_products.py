r"""Products of a layer's input with whitening matrices of channels, and their hand-written gradient.

Where an input has fewer positions than the weight has rows, as in the last layers of a network, x D is cheaper than
D w (see ``products``); the result is the same.

Letters: as in linalg/grouping.py; O outputs per group.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from netdeconv.linalg import Grouping
from netdeconv.linalg.precision import full_precision


def whiten_input(x: Tensor, matrix: Tensor, grouping: Grouping) -> Tensor:
    """Multiply the channels of an input by their whitening matrices: x D, not centred.

    Shapes:
        x (N, C, ...), matrix (G, B, B); result as x, in its dtype and its memory format.
    """
    product: Tensor = _WhitenedInput.apply(x, matrix, grouping)
    return product


def weight_and_response(
    weight: Tensor, mean: Tensor, matrix: Tensor, grouping: Grouping, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """A weight for an input that :func:`whiten_input` has whitened: itself, cast, and its response to the mean.

    Shapes:
        as :func:`whiten_weight`, for matrices of channels.
    """
    with full_precision(weight):
        centre = torch.bmm(mean.unsqueeze(1), matrix).squeeze(1)  # (G, B)
        spread = centre.unsqueeze(1).expand(-1, grouping.num_blocks, -1).unsqueeze(0)
        centre = grouping.merge(spread, 1).view(grouping.num_matrices, -1)
        same, response = _CastAndResponse.apply(weight, centre, dtype)
        return same, response.reshape(-1)


class _CastAndResponse(torch.autograd.Function):
    """A weight (G O, C/G, K) in another dtype, and its response (G, O) to an input that is constant (G, C/G).

    Products of the cast weight as it lies in memory, summed in float32, and one pass over its gradient.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, constant: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        ctx.dtype = dtype
        ctx.save_for_backward(weight, constant)
        with full_precision(weight):
            same = weight.to(dtype) if weight.dtype != dtype else weight.view_as(weight)
            rows, taps_first = _as_stored(same, len(constant))
            return same, _product(_over_taps(constant, weight.shape[2], taps_first).unsqueeze(1), rows.mT).squeeze(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        weight, constant = ctx.saved_tensors
        grad_same, grad_response = grads
        with full_precision(weight):
            rows, taps_first = _as_stored(weight.to(ctx.dtype), len(constant))
            split = (weight.shape[2], -1) if taps_first else (-1, weight.shape[2])
            pull = _product(grad_response.unsqueeze(1), rows).view(len(constant), *split)
            grad_weight = grad_same.to(weight.dtype)
            outer = (grad_response.unsqueeze(-1) * constant.unsqueeze(1)).flatten(0, 1).unsqueeze(-1)
            outer = outer.to(weight.dtype)
            grad_weight = grad_weight + outer if grad_weight is grad_same else grad_weight.add_(outer)
            return grad_weight, pull.sum(1 if taps_first else 2), None


def _as_stored(weight: Tensor, num_matrices: int) -> tuple[Tensor, bool]:
    """A weight (G O, C/G, K) as rows (G, O, K C/G) in the order of its memory, and whether taps come first."""
    taps_first = weight.stride(1) < weight.stride(2)
    stored = weight.transpose(1, 2) if taps_first else weight
    return stored.reshape(num_matrices, -1, weight.shape[1] * weight.shape[2]), taps_first


def _over_taps(constant: Tensor, num_taps: int, taps_first: bool) -> Tensor:
    """A value for each channel (G, C/G), repeated for the taps in the order of the rows."""
    return constant.repeat(1, num_taps) if taps_first else constant.repeat_interleave(num_taps, 1)


def _product(rows: Tensor, matrix: Tensor) -> Tensor:
    """Few rows (G, n, D) times a matrix (G, D, M), in the rows' dtype: sums are not rounded to the matrix's."""
    return torch.bmm(rows, matrix.to(rows.dtype))


class _WhitenedInput(torch.autograd.Function):
    """Keeps input and matrix alone; the rows are copied again in backward, which is differentiable itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor, grouping: Grouping) -> Tensor:
        ctx.grouping = grouping
        ctx.save_for_backward(x, matrix)
        with full_precision(x):
            return _multiply_channels(x, matrix, grouping)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, matrix = ctx.saved_tensors
        with full_precision(x):
            rows, _ = _channel_rows(x, ctx.grouping)
            grad_rows, _ = _channel_rows(grads[0].to(x.dtype), ctx.grouping)
            grad_matrix = torch.bmm(rows.mT, grad_rows).to(matrix.dtype)
            return _multiply_channels(grads[0].to(x.dtype), matrix, ctx.grouping), grad_matrix, None


def _channel_rows(x: Tensor, grouping: Grouping) -> tuple[Tensor, torch.Size]:
    """Channels of an input as rows (G, n, B), and the shape (N, ..., G, S, B) they had."""
    split = grouping.split(x.movedim(1, -1), x.dim() - 1)
    return split.movedim(-3, 0).reshape(grouping.num_matrices, -1, grouping.block_channels), split.shape


def _multiply_channels(x: Tensor, matrix: Tensor, grouping: Grouping) -> Tensor:
    rows, shape = _channel_rows(x, grouping)
    product = torch.bmm(rows, matrix.to(x.dtype))
    product = product.view(grouping.num_matrices, *shape[:-3], *shape[-2:]).movedim(0, -3)
    product = grouping.merge(product, x.dim() - 1).movedim(-1, 1)
    return product.contiguous() if x.is_contiguous() else product
