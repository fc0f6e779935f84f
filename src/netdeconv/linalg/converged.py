r"""Inverse square root by Newton-Schulz steps whose coefficients are tuned to the spectrum.

With P = A / ||A||_F and x = sqrt(eigenvalue of P) known to lie in [l, u], the cubic a x - b x^3 that maps the
interval closest to one has, from equal deviation at l, at u and at its maximum e = sqrt((u^2 + u l + l^2) / 3):

    b = 2 / (2 e^3 + u l (u + l)),        a = 3 e^2 b,        new interval [b u l (u + l), 2 b e^3]

The intervals, so the coefficients and the number of steps, follow from ``min_eigenvalue`` alone: they are worked out
beforehand and the device is never waited for.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import torch
from torch import Tensor

from netdeconv.linalg.lyapunov import inverse_sqrt_gradient, spectral_decomposition
from netdeconv.linalg.precision import Function, either, frobenius_norm, full_precision, symmetrize
from netdeconv.linalg.symmetric import symmetric_product


@dataclasses.dataclass(frozen=True)
class Converged:
    """Newton-Schulz with tuned coefficients, to a tolerance.

    Args:
        tolerance: largest deviation from 1 of a whitened direction's standard deviation, for eigenvalues
            above ``min_eigenvalue``. ``None``: eight times the dtype's eps.
        min_eigenvalue: smallest eigenvalue, relative to ||A||_F, that is to be whitened to ``tolerance``;
            smaller ones are whitened partially. ``None``: 1e-6 for float32, 1e-10 for float64.

    Raises:
        ValueError: when a number is out of range.

    Source: optimal cubic coefficients by interval, as in the literature on polar decompositions
        (CANS, Polar Express); the derivation above is written out here.
    """

    tolerance: float | None = None
    min_eigenvalue: float | None = None

    def __post_init__(self) -> None:
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance must be between 0 and 1, got {self.tolerance!r}")
        if self.min_eigenvalue is not None and not 0 < self.min_eigenvalue < 1:
            raise ValueError(f"min_eigenvalue must be between 0 and 1, got {self.min_eigenvalue!r}")

    def __call__(self, matrix: Tensor) -> Tensor:
        """Apply to symmetric matrices (B, D, D)."""
        eps = torch.finfo(matrix.dtype).eps
        lower = self.min_eigenvalue or (1e-6 if eps > 1e-10 else 1e-10)
        steps = tuned_coefficients(lower, self.tolerance or 8 * eps)
        root: Tensor = either(_ConvergedRoot, _TraceableRoot).apply(matrix, steps)
        return root


# A cubic fitted to [l, u] maps u down to the new lower end; for tiny l that would cost the largest eigenvalues' digits.
_CUSHION = 0.1


@functools.cache
def tuned_coefficients(min_eigenvalue: float, tolerance: float) -> tuple[tuple[float, float], ...]:
    """Pairs (a, b) of successive cubics a x - b x^3 until [sqrt(min_eigenvalue), 1] is within tolerance of one."""
    lower, upper = math.sqrt(min_eigenvalue), 1.0
    steps: list[tuple[float, float]] = []
    while max(1 - lower, upper - 1) > tolerance:
        fitted = max(lower, _CUSHION * upper)
        middle = math.sqrt((upper * upper + upper * fitted + fitted * fitted) / 3)
        b = 2 / (2 * middle**3 + upper * fitted * (upper + fitted))
        a = 3 * middle * middle * b
        steps.append((a, b))
        lower, upper = min(a * lower - b * lower**3, a * upper - b * upper**3), 2 * b * middle**3
        if upper - lower < 4 * torch.finfo(torch.float64).eps:
            break
    return tuple(steps)


class _TraceableRoot(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(matrix: Tensor, steps: tuple[tuple[float, float], ...]) -> Tensor:
        with full_precision(matrix):
            matrix = symmetrize(matrix)
            norm = frobenius_norm(matrix)
            product = matrix / norm
            root = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device).expand_as(matrix)
            for index, (a, b) in enumerate(steps):
                root = symmetric_product(product, root, root, beta=a, alpha=-b) if index else a * root - b * product
                if index < len(steps) - 1:
                    half = symmetric_product(product, product, product, beta=a, alpha=-b)
                    product = symmetrize(symmetric_product(half, product, half, beta=a, alpha=-b))
            result: Tensor = symmetrize(root) / norm.sqrt()
            return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Any], output: Tensor) -> None:
        del output
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (matrix,) = ctx.saved_tensors
        with full_precision(matrix):
            with torch.no_grad():
                values, vectors = spectral_decomposition(matrix)
            return inverse_sqrt_gradient(matrix, values, vectors, grads[0]), None


class _ConvergedRoot(_TraceableRoot):
    """With a forward derivative, which is its own adjoint."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Any], output: Tensor) -> None:
        _TraceableRoot.setup_context(ctx, inputs, output)
        ctx.save_for_forward(inputs[0])

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        return _TraceableRoot.backward(ctx, tangent)[0]
