"""Matrix products whose result is known to be symmetric, computed once above the diagonal.

Letters: B matrices, D their size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netdeconv.linalg.precision import may_write

# Below this size, or for many matrices, one batched product is faster than strips.
_SMALLEST = 256
_STRIPS = 4


def _in_strips(matrix: Tensor) -> bool:
    """On a processor, large, few, and where plain operations are not wanted."""
    return matrix.device.type == "cpu" and matrix.shape[-1] >= _SMALLEST and matrix.shape[0] <= 4 and may_write()


def symmetric_product(left: Tensor, right: Tensor, add: Tensor, *, alpha: float, beta: float) -> Tensor:
    """``beta add + alpha left right`` where that is symmetric, all (B, D, D).

    About 5/8 of the multiplications of a general product: four strips of rows, from the diagonal on.
    """
    if not _in_strips(add):
        return torch.baddbmm(add, left, right, beta=beta, alpha=alpha)
    result = torch.empty_like(add, memory_format=torch.contiguous_format)
    for index in range(add.shape[0]):
        _upper(result[index], left[index], right[index], add[index], alpha, beta)
        _mirror(result[index])
    return result


def add_gram(total: Tensor, rows: Tensor) -> None:
    """Add ``rows^T rows`` of (B, n, D) to (B, D, D), in place: all of it, or what :func:`complete` mirrors.

    Narrower rows are multiplied as they are; their product is rounded to their dtype once, and added.
    """
    same = rows.dtype == total.dtype
    if not _in_strips(total):
        if same:
            total.baddbmm_(rows.mT, rows)
        else:
            total.add_(torch.bmm(rows.mT, rows))
        return
    for index in range(total.shape[0]):
        left, right = rows[index].mT, rows[index]
        if same:
            _upper(total[index], left, right, total[index], 1.0, 1.0)
            continue
        for top, bottom in _strips(total.shape[-1]):
            total[index, top:bottom, top:] += left[top:bottom] @ right[:, top:]


def complete(total: Tensor) -> Tensor:
    """Fill in what :func:`add_gram` left out, in place."""
    if _in_strips(total):
        for matrix in total:
            _mirror(matrix)
    return total


def _strips(size: int) -> list[tuple[int, int]]:
    height = -(-size // _STRIPS)
    return [(top, min(top + height, size)) for top in range(0, size, height)]


def _upper(result: Tensor, left: Tensor, right: Tensor, add: Tensor, alpha: float, beta: float) -> None:
    for top, bottom in _strips(result.shape[-1]):
        torch.addmm(
            add[top:bottom, top:],
            left[top:bottom],
            right[:, top:],
            beta=beta,
            alpha=alpha,
            out=result[top:bottom, top:],
        )


def _mirror(result: Tensor) -> None:
    for top, bottom in _strips(result.shape[-1]):
        result[bottom:, top:bottom] = result[top:bottom, bottom:].mT
