r"""The product of a layer's weight, or of a small input, with whitening matrices.

Letters: as in linalg/grouping.py.
(x - mean) D w + b is computed as x (D w) + (b - mean D w), with a hand-written gradient of D w. Where a matrix is of
channels and the input has fewer numbers than the weight, as (x D) w + (b - mean D w).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from netdeconv.linalg import Grouping
from netdeconv.linalg.precision import Function, either, full_precision, inverse


def whiten_weight(
    weight: Tensor, mean: Tensor, matrix: Tensor, grouping: Grouping, *, dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """Multiply a layer's weight by its whitening matrices.

    Args:
        weight: rows of a convolution or linear layer.
        mean: of the features.
        matrix: whitening matrices; of channels where D is B, of patches where it is K B.
        grouping: the blocks.
        dtype: of the product; None: of the statistics.

    Shapes:
        weight (G O, C/G, K), mean (G, D), matrix (G, D, D); results (G O, C/G, K) and the response to the mean (G O,).

    Returns:
        ``D w`` in ``dtype``, and ``mean D w`` in the statistics' dtype, which the layer's bias has to lose.
    """
    product, response = either(_WhitenedWeight, _TraceableWeight).apply(
        weight, mean, matrix, grouping, dtype or matrix.dtype
    )
    return product, response


def whiten_input(
    x: Tensor, weight: Tensor, mean: Tensor, matrix: Tensor, grouping: Grouping, *, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Multiply an input by whitening matrices of channels, for a weight that stays as it is.

    Shapes:
        x (N, C, ...), the others as :func:`whiten_weight` takes them, D = B; results as x, and (G O,).

    Returns:
        ``x D`` in the dtype and memory format of x, and ``mean D w`` in the statistics' dtype.
    """
    with full_precision(x):
        blocks = grouping.split(x.movedim(1, -1), x.dim() - 1).movedim(-3, 0)  # G N ... S B
        product = torch.bmm(blocks.flatten(1, -2).to(dtype), matrix.mT.to(dtype)).view(blocks.shape)
        whitened = grouping.merge(product.movedim(0, -3), x.dim() - 1).movedim(-1, 1).to(x.dtype)
        centre = torch.bmm(mean.unsqueeze(1), matrix.mT).squeeze(1).repeat(1, grouping.num_blocks)
        centre = centre[:, : grouping.group_channels].unsqueeze(2)  # G C/G 1
        # a sum over one tap would be a copy of the weight, kept for backward
        summed = weight.squeeze(2).to(mean.dtype) if weight.shape[2] == 1 else weight.sum(2, dtype=mean.dtype)
        response = torch.bmm(summed.unflatten(0, (grouping.num_matrices, -1)), centre).flatten()
    return whitened.clone(memory_format=torch.contiguous_format) if x.is_contiguous() else whitened, response


def _rows(weight: Tensor, size: int, grouping: Grouping, dtype: torch.dtype) -> tuple[Tensor, torch.Size]:
    """Rows (G, n, D) of a weight's blocks, and the blocks' shape: (G, O, S, K, B), or (G, O, K, S, B) where D is B.

    So rows of channels are no copy of a weight whose neighbouring numbers are channels.
    """
    grouped = weight.to(dtype).unflatten(0, (grouping.num_matrices, -1)).transpose(2, 3)
    blocks = grouping.split(grouped, 3, groups=False)
    if size > grouping.block_channels:
        blocks = blocks.transpose(2, 3)
    return blocks.reshape(grouping.num_matrices, -1, size), blocks.shape


def _like(weight: Tensor, rows: Tensor, shape: torch.Size, grouping: Grouping) -> Tensor:
    """Rows as a weight with another's memory format: every other would cost the convolution a slow copy."""
    blocks = rows.reshape(shape)
    if rows.shape[-1] > grouping.block_channels:
        blocks = blocks.transpose(2, 3)
    outputs, channels, taps = weight.shape
    taps_first = grouping.merge(blocks, 3, groups=False).reshape(outputs, taps, channels)
    one_channel = channels == 1 < taps and weight.stride(1) == weight.stride(2)
    if weight.stride(1) < weight.stride(2) or one_channel:  # neighbouring channels
        return taps_first.contiguous().transpose(1, 2)
    if taps == 1:  # strides of one tap, and of one channel, too: DistributedDataParallel compares them
        return taps_first.squeeze(1).contiguous().unsqueeze(2)
    return taps_first.transpose(1, 2).contiguous()


def unwhiten_weight(weight: Tensor, matrix: Tensor, grouping: Grouping) -> Tensor:
    """The weight (G O, C/G, K) whose product with the whitening matrices (G, D, D) is the given one.

    A block that is filled up with zeros has the matrix of its own features alone.
    """
    size, channels = matrix.shape[-1], grouping.block_channels
    rows, shape = _rows(weight, size, grouping, matrix.dtype)
    own = torch.arange(grouping.num_blocks * channels, device=matrix.device) < grouping.group_channels
    own = own.view(grouping.num_blocks, 1, channels).expand(-1, size // channels, -1).flatten(1)  # S D
    both = own.unsqueeze(2) & own.unsqueeze(1)
    eye = torch.eye(size, dtype=matrix.dtype, device=matrix.device)
    inverted = inverse(torch.where(both, matrix.unsqueeze(1), eye))  # G S D D
    # not a broadcast product, which would copy the inverses for every output
    blocks = torch.einsum("gnsd,gsde->gnse", rows.unflatten(1, (-1, grouping.num_blocks)), inverted)
    return _like(weight, blocks.flatten(1, 2), shape, grouping)


class _TraceableWeight(Function):
    """Keeps weight, mean and matrix alone; the blocks are made again in backward, which is differentiable itself."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        weight: Tensor, mean: Tensor, matrix: Tensor, grouping: Grouping, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        with full_precision(weight):
            rows, shape = _rows(weight, matrix.shape[-1], grouping, dtype)
            product = torch.bmm(rows, matrix.to(dtype))
            response = torch.bmm(product, mean.to(dtype).unsqueeze(-1)).to(mean.dtype)
            return _like(weight, product, shape, grouping), response.reshape(weight.shape[0], -1).sum(1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        del output
        weight, mean, matrix, ctx.grouping, ctx.dtype = inputs
        ctx.save_for_backward(weight, mean, matrix)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weight, mean, matrix = ctx.saved_tensors
        grad_product, grad_response = grads
        grouping, dtype = ctx.grouping, ctx.dtype
        g, size = matrix.shape[:2]
        grad_matrix = grad_mean = None
        with full_precision(weight):
            grad_rows, shape = _rows(grad_product, size, grouping, dtype)
            # a row's share in its output's response, (G, n, 1)
            share = grad_response.reshape(g, -1, 1).to(dtype)
            share = share.expand(-1, -1, grad_rows.shape[1] // share.shape[1]).reshape(g, -1, 1)
            grad_rows = torch.baddbmm(grad_rows, share, mean.to(dtype).unsqueeze(1))
            grad_blocks = torch.bmm(grad_rows, matrix.mT.to(dtype))
            grad_weight = _like(weight, grad_blocks, shape, grouping).to(weight.dtype)
            if any(ctx.needs_input_grad[1:3]):
                rows, _ = _rows(weight, size, grouping, dtype)
                pull = torch.bmm(rows.mT, share).to(matrix.dtype)  # (G, D, 1)
                grad_mean = torch.bmm(matrix.mT, pull).squeeze(-1)
            if ctx.needs_input_grad[2]:
                grad_matrix = torch.bmm(rows.mT, grad_rows).to(matrix.dtype)
        return grad_weight, grad_mean, grad_matrix, None, None


class _WhitenedWeight(_TraceableWeight):
    """With a forward derivative."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        _TraceableWeight.setup_context(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:3])

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor, Tensor]:
        values, moved = ctx.saved_tensors, tangents[:3]
        weight, mean, matrix = values
        parts = [torch.zeros_like(v) if t is None else t for v, t in zip(values, moved, strict=True)]
        with full_precision(weight):
            size, grouping, dtype = matrix.shape[-1], ctx.grouping, ctx.dtype
            (rows, shape), (moved_rows, _) = (_rows(w, size, grouping, dtype) for w in (weight, parts[0]))
            product, centre = torch.bmm(rows, matrix.to(dtype)), mean.to(dtype).unsqueeze(-1)
            moving = torch.bmm(moved_rows, matrix.to(dtype)) + torch.bmm(rows, parts[2].to(dtype))
            response = torch.bmm(moving, centre) + torch.bmm(product, parts[1].to(dtype).unsqueeze(-1))
            response = response.to(mean.dtype).reshape(weight.shape[0], -1).sum(1)
            return _like(weight, moving, shape, grouping), response
