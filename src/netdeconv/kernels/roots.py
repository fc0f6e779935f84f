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
    """Whether the root's kernels take this matrix; whether they can run on its device is said by ``usable``.

    Args:
        matrix: the matrices.

    Shapes:
        (B, D, D) where the answer is yes.

    Returns:
        Whether there are matrices, float32, of a size up to ``MAX_ROOT_SIZE``.
    """
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
    """Inverse square roots by a fixed number of Newton-Schulz steps.

    Args:
        matrix: of which only the symmetric part counts.
        num_iterations: steps, at least 1.

    Shapes:
        matrix and result (B, D, D), D at most ``MAX_ROOT_SIZE``.

    Returns:
        The roots, symmetric. No derivative is registered.

    Raises:
        ValueError: when the matrix is not of a kind :func:`supports_newton_schulz_root` accepts, or there is no step.

    Numerics:
        As ``linalg.NewtonSchulz`` in float32; sums are added up in another order.
    """
    _check(matrix, num_iterations)
    from netdeconv.kernels import root_kernels  # on first use: imports Triton

    return _launch(root_kernels.root_forward, _scratch(matrix, 3), num_iterations, matrix)


@torch.library.custom_op("netdeconv::newton_schulz_root_backward", mutates_args=())
def newton_schulz_root_backward(matrix: Tensor, root: Tensor, grad: Tensor, num_iterations: int) -> Tensor:
    """The gradient of :func:`newton_schulz_root`: the derivative of the n-step polynomial.

    Args:
        matrix: what the forward function was given.
        root: what it returned.
        grad: gradient of the root, of which only the symmetric part counts.
        num_iterations: as given to the forward function.

    Shapes:
        all (B, D, D).

    Returns:
        Gradient of the matrix. It cannot be differentiated again.

    Raises:
        ValueError: as :func:`newton_schulz_root`, for any of the three, or when their shapes differ.

    Numerics:
        Iterates are computed again; as the plain derivative in float32 otherwise.
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
