"""The n-step Newton-Schulz inverse root, and its derivative, in one kernel launch each.

The results are those of ``linalg.newton_schulz`` up to rounding. Letters: B matrices, D their size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

MAX_ROOT_SIZE = 128
"""The largest D. Above it one program for each matrix leaves too much of a GPU idle."""

# Columns of one step of a product. At 128 each of 256 threads then has 64 sums of it, and two strips take 16 KB of
# shared memory. Compiled for capability 9.0 with Triton 3.6, no register is spilled; with strips of 32 some are.
CHUNK = 16
_WARPS = {16: 1, 32: 4, 64: 8, 128: 8}


def padded(size: int) -> int:
    """The size that matrices are filled up to."""
    return max(CHUNK, 1 << (size - 1).bit_length())


def supports_newton_schulz_root(matrix: Tensor) -> bool:
    """Whether the root's kernels take this: (B, D, D), float32, up to ``MAX_ROOT_SIZE``, not empty. See ``usable``."""
    return (
        matrix.dim() == 3
        and matrix.dtype == torch.float32
        and matrix.shape[0] > 0
        and matrix.shape[1] == matrix.shape[2]
        and 0 < matrix.shape[1] <= MAX_ROOT_SIZE
    )


def _check(matrix: Tensor, num_iterations: int) -> None:
    if not supports_newton_schulz_root(matrix):
        raise ValueError(
            f"the kernel takes float32 (B, D, D) with D at most {MAX_ROOT_SIZE}, "
            f"got {matrix.dtype} {tuple(matrix.shape)}"
        )
    if num_iterations < 1:
        raise ValueError(f"num_iterations must be positive, got {num_iterations}")


def _scratch(matrix: Tensor, count: int) -> Tensor:
    size = padded(matrix.shape[1])
    return matrix.new_empty((matrix.shape[0], count, size, size))


def _launch(kernel: Any, scratch: Tensor, num_iterations: int, *inputs: Tensor) -> Tensor:
    """What a kernel makes of matrices (B, D, D), in one program for each B; it works in ``scratch``."""
    inputs = tuple(given.contiguous() for given in inputs)
    result, size = torch.empty_like(inputs[0]), scratch.shape[-1]
    with torch.cuda.device_of(result):
        kernel[(len(result),)](
            *(*inputs, result, scratch, result.shape[-1], num_iterations),
            **{"SIZE": size, "CHUNK": CHUNK, "num_warps": _WARPS[size], "num_stages": 1, "enable_fp_fusion": True},
        )
    return result


@torch.library.custom_op("netdeconv::newton_schulz_root", mutates_args=())
def newton_schulz_root(matrix: Tensor, num_iterations: int) -> Tensor:
    """Inverse square roots (B, D, D), symmetric, of the symmetric part of matrices, by so many Newton-Schulz steps.

    As ``linalg.NewtonSchulz`` in float32; sums are added up in another order. No derivative is registered.

    Raises:
        ValueError: when the matrix is not of a kind :func:`supports_newton_schulz_root` accepts, or there is no step.
    """
    _check(matrix, num_iterations)
    from netdeconv.kernels import root_kernels  # on first use: imports Triton

    return _launch(root_kernels.root_forward, _scratch(matrix, 3), num_iterations, matrix)


@torch.library.custom_op("netdeconv::newton_schulz_root_backward", mutates_args=())
def newton_schulz_root_backward(matrix: Tensor, root: Tensor, grad: Tensor, num_iterations: int) -> Tensor:
    """The gradient of the matrix that :func:`newton_schulz_root` made a root of, from the root's (its symmetric part).

    The derivative of the n-step polynomial, as the plain one in float32. Iterates are computed again; it cannot be
    differentiated once more.

    Raises:
        ValueError: as :func:`newton_schulz_root`, for any of the three, or when their shapes differ.
    """
    for given in (matrix, root, grad):
        _check(given, num_iterations)
        if given.shape != matrix.shape:
            raise ValueError(f"shapes differ: {tuple(given.shape)} and {tuple(matrix.shape)}")
    from netdeconv.kernels import root_kernels  # on first use: imports Triton

    return _launch(root_kernels.root_backward, _scratch(matrix, 6), num_iterations, matrix, root, grad)


@newton_schulz_root.register_fake
@newton_schulz_root_backward.register_fake
def _(matrix: Tensor, *others: Any) -> Tensor:
    del others
    return torch.empty_like(matrix, memory_format=torch.contiguous_format)
