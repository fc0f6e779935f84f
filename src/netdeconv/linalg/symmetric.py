"""Matrix products whose result is known to be symmetric, computed once above the diagonal.

Letters: B matrices, D their size.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Below this size, or for many matrices, one batched product is faster than strips.
_SMALLEST = 256
_STRIPS = 4


def _in_strips(matrix: Tensor) -> bool:
    """On a processor, large, few, and outside autograd's record and the compilers, which want plain operations."""
    return (
        matrix.device.type == "cpu"
        and matrix.shape[-1] >= _SMALLEST
        and matrix.shape[0] <= 4
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    )


def symmetric_product(left: Tensor, right: Tensor, add: Tensor, *, alpha: float, beta: float) -> Tensor:
    """``beta add + alpha left right`` where that is symmetric, all (B, D, D).

    About 5/8 of the multiplications of a general product: four strips of rows, from the diagonal on.
    """
    if not _in_strips(add):
        return torch.baddbmm(add, left, right, beta=beta, alpha=alpha)
    result = torch.empty_like(add, memory_format=torch.contiguous_format)
    for index in range(add.shape[0]):
        _fill(result[index], left[index], right[index], add[index], alpha, beta)
    return result


def gram(rows: Tensor) -> Tensor:
    """``rows^T rows`` of (B, n, D): (B, D, D)."""
    zero = rows.new_zeros((rows.shape[0], rows.shape[2], rows.shape[2]))
    return symmetric_product(rows.mT, rows, zero, alpha=1.0, beta=0.0)


def _fill(result: Tensor, left: Tensor, right: Tensor, add: Tensor, alpha: float, beta: float) -> None:
    size = result.shape[-1]
    height = -(-size // _STRIPS)
    for top in range(0, size, height):
        bottom = min(top + height, size)
        torch.addmm(
            add[top:bottom, top:],
            left[top:bottom],
            right[:, top:],
            beta=beta,
            alpha=alpha,
            out=result[top:bottom, top:],
        )
        result[bottom:, top:bottom] = result[top:bottom, bottom:].mT
