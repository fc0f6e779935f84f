"""Exact inverse square root by eigendecomposition: the oracle, and for small or offline work."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from netdeconv.linalg.lyapunov import inverse_sqrt_gradient, spectral_decomposition
from netdeconv.linalg.precision import full_precision


@dataclasses.dataclass(frozen=True)
class Eigen:
    """Exact whitening by ``torch.linalg.eigh``; waits for the device on CUDA.

    Eigenvalues below ``D eps(dtype)`` times the largest are raised to it, so that degenerate and slightly
    indefinite covariances stay finite.
    """

    def __call__(self, matrix: Tensor) -> Tensor:
        """Apply to symmetric matrices (B, D, D)."""
        root: Tensor = _EigenRoot.apply(matrix)
        return root


class _EigenRoot(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        with full_precision(matrix):
            values, vectors = spectral_decomposition(matrix)
            ctx.save_for_backward(matrix, values, vectors)
            return (vectors * values.rsqrt().unsqueeze(-2)) @ vectors.mT

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        matrix, values, vectors = ctx.saved_tensors
        with full_precision(matrix):
            return inverse_sqrt_gradient(matrix, values, vectors, grads[0])
