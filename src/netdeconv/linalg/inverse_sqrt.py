"""One function for all inverse square roots."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from netdeconv.linalg.converged import Converged
from netdeconv.linalg.eigen import Eigen
from netdeconv.linalg.newton_schulz import NewtonSchulz
from netdeconv.linalg.precision import statistics_dtype

Root: TypeAlias = NewtonSchulz | Converged | Eigen | Callable[[Tensor], Tensor]


def inverse_sqrt(matrix: Tensor, *, method: Root | None = None) -> Tensor:
    r"""Inverse square root of symmetric positive definite matrices, differentiable.

    :math:`R = A^{-1/2}`, so that :math:`R A R = I`; partial, with small eigenvalues amplified less, for few
    Newton-Schulz steps.

    Args:
        matrix: covariances. Only the symmetric part counts. Add eps to the diagonal beforehand.
        method: :class:`NewtonSchulz` (default, five steps), :class:`Converged`, :class:`Eigen`, or any function of
            symmetric matrices (B, D, D).

    Shapes:
        matrix (..., D, D); result (..., D, D), symmetric.

    Returns:
        The roots, in float32 for half-precision input, else in the input's dtype, on its device. Newton-Schulz
        methods never wait for the device.

    Raises:
        ValueError: when the last two dimensions differ.
        TypeError: when the matrix is not a floating-point tensor.
        RuntimeError: at a second derivative of the converged and eigendecomposition methods
            (the n-step method has one).

    Numerics:
        Autocast is switched off inside, forward and backward. n steps multiply rounding errors in small
        eigenvalues by at most 1.5^n. A slightly indefinite matrix stays finite for few steps, but is not whitened.

    Source:
        Ye et al., ICLR 2020, section 3.5 of the early version (coupled iteration, Frobenius scaling); the backward
        is the derivative of the n-step polynomial, or the closed Lyapunov form.

    Example:
        >>> covariance = torch.diag(torch.tensor([4.0, 1.0]))
        >>> inverse_sqrt(covariance, method=Eigen()).diagonal()
        tensor([0.5000, 1.0000])
    """
    if matrix.dim() < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(f"inverse_sqrt needs square matrices (..., D, D), got shape {tuple(matrix.shape)}")
    if not matrix.is_floating_point():
        raise TypeError(f"inverse_sqrt needs a floating-point matrix, got {matrix.dtype}")
    method = method or NewtonSchulz()
    flat = matrix.to(statistics_dtype(matrix.dtype)).reshape(-1, *matrix.shape[-2:])
    return method(flat).reshape(matrix.shape)
