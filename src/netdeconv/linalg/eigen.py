"""Exact inverse square root by eigendecomposition: the oracle, and for small or offline work."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from netdeconv.linalg.lyapunov import inverse_sqrt_gradient, spectral_decomposition
from netdeconv.linalg.precision import Function, either, full_precision


@dataclasses.dataclass(frozen=True)
class Eigen:
    """Exact whitening by ``torch.linalg.eigh``; waits for the device on CUDA.

    Eigenvalues below ``D eps(dtype)`` times the largest are raised to it, so that degenerate and slightly
    indefinite covariances stay finite.
    """

    def __call__(self, matrix: Tensor) -> Tensor:
        """Apply to symmetric matrices (B, D, D)."""
        root: Tensor = either(_EigenRoot, _TraceableRoot).apply(matrix)[0]
        return root


class _TraceableRoot(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with full_precision(matrix):
            values, vectors = spectral_decomposition(matrix)
            return (vectors * values.rsqrt().unsqueeze(-2)) @ vectors.mT, values, vectors

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*inputs, *output[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        matrix, values, vectors = ctx.saved_tensors
        with full_precision(matrix):
            return inverse_sqrt_gradient(matrix, values, vectors, grads[0])


class _EigenRoot(_TraceableRoot):
    """With a forward derivative, which is its own adjoint."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
        _TraceableRoot.setup_context(ctx, inputs, output)
        ctx.save_for_forward(*inputs, *output[1:])

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> tuple[Tensor, None, None]:
        return _TraceableRoot.backward(ctx, tangent), None, None
