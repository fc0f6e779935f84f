"""The n-step Newton-Schulz inverse root, and its derivative, in one kernel launch each.

The results are those of ``linalg.newton_schulz`` up to rounding. Letters: B matrices, D their size.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

MAX_ROOT_SIZE = 128
"""The largest D. Above it one program for each matrix leaves too much of a GPU idle."""

_FORWARD_MATRICES = 3
_BACKWARD_MATRICES = 6


@dataclasses.dataclass(frozen=True)
class RootPlan:
    """How a launch is cut: padded size, columns of a step of a product, warps of a program."""

    size: int
    chunk: int
    num_warps: int


def plan_root(size: int) -> RootPlan:
    """The cut for matrices of one size.

    At 128 each of 256 threads has 64 sums of a product, and two strips take 16 KB of shared memory. Compiled for
    compute capability 9.0 with Triton 3.6, no register is spilled; with strips of 32 some are.
    """
    padded = max(16, 1 << (size - 1).bit_length())
    return RootPlan(padded, 16, {16: 1, 32: 4, 64: 8, 128: 8}[padded])


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
    root: Tensor = _root_operator(matrix, num_iterations)
    return root


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
    result: Tensor = _backward_operator(matrix, root, grad, num_iterations)
    return result


def _check(matrix: Tensor, num_iterations: int) -> None:
    if not supports_newton_schulz_root(matrix):
        raise ValueError(
            f"the kernel takes float32 (B, D, D) with D at most {MAX_ROOT_SIZE}, "
            f"got {matrix.dtype} {tuple(matrix.shape)}"
        )
    if num_iterations < 1:
        raise ValueError(f"num_iterations must be positive, got {num_iterations}")


def _scratch(matrix: Tensor, plan: RootPlan, count: int) -> Tensor:
    return matrix.new_empty((matrix.shape[0], count, plan.size, plan.size))


@torch.library.custom_op(
    "netdeconv::newton_schulz_root",
    mutates_args=(),
    schema="(Tensor matrix, SymInt num_iterations) -> Tensor",
)
def _root_operator(matrix: Tensor, num_iterations: int) -> Tensor:
    _check(matrix, num_iterations)
    from netdeconv.kernels import root_kernels  # on first use: imports Triton

    plan = plan_root(matrix.shape[1])
    matrix = matrix.contiguous()
    result = torch.empty_like(matrix)
    with torch.cuda.device_of(matrix):
        root_kernels.root_forward[(matrix.shape[0],)](
            matrix,
            result,
            _scratch(matrix, plan, _FORWARD_MATRICES),
            matrix.shape[1],
            num_iterations,
            TINY=torch.finfo(torch.float32).tiny,
            SIZE=plan.size,
            CHUNK=plan.chunk,
            PRECISION="ieee",
            num_warps=plan.num_warps,
            num_stages=1,
            enable_fp_fusion=True,
        )
    return result


@_root_operator.register_fake
def _(matrix: Tensor, num_iterations: int) -> Tensor:
    return torch.empty_like(matrix, memory_format=torch.contiguous_format)


@torch.library.custom_op(
    "netdeconv::newton_schulz_root_backward",
    mutates_args=(),
    schema="(Tensor matrix, Tensor root, Tensor grad, SymInt num_iterations) -> Tensor",
)
def _backward_operator(matrix: Tensor, root: Tensor, grad: Tensor, num_iterations: int) -> Tensor:
    for given in (matrix, root, grad):
        _check(given, num_iterations)
        if given.shape != matrix.shape:
            raise ValueError(f"shapes differ: {tuple(given.shape)} and {tuple(matrix.shape)}")
    from netdeconv.kernels import root_kernels  # on first use: imports Triton

    plan = plan_root(matrix.shape[1])
    matrix = matrix.contiguous()
    result = torch.empty_like(matrix)
    with torch.cuda.device_of(matrix):
        root_kernels.root_backward[(matrix.shape[0],)](
            matrix,
            root.contiguous(),
            grad.contiguous(),
            result,
            _scratch(matrix, plan, _BACKWARD_MATRICES),
            matrix.shape[1],
            num_iterations,
            TINY=torch.finfo(torch.float32).tiny,
            SIZE=plan.size,
            CHUNK=plan.chunk,
            PRECISION="ieee",
            num_warps=plan.num_warps,
            num_stages=1,
            enable_fp_fusion=True,
        )
    return result


@_backward_operator.register_fake
def _(matrix: Tensor, root: Tensor, grad: Tensor, num_iterations: int) -> Tensor:
    return torch.empty_like(matrix, memory_format=torch.contiguous_format)
