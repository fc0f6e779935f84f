"""The exact derivative of the inverse square root, from its Lyapunov equation."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor

from netdeconv.linalg.precision import Function, symmetrize


def spectral_decomposition(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (..., D), raised to at least D eps times the largest, and eigenvectors (..., D, D)."""
    values, vectors = torch.linalg.eigh(symmetrize(matrix))
    floor = values[..., -1:] * (torch.finfo(matrix.dtype).eps * matrix.shape[-1])
    return values.maximum(floor.clamp_min(torch.finfo(matrix.dtype).tiny)), vectors


def inverse_sqrt_gradient(matrix: Tensor, values: Tensor, vectors: Tensor, grad: Tensor) -> Tensor:
    r"""Gradient with respect to A of :math:`\langle G, A^{-1/2} \rangle`; it refuses to be differentiated again.

    With A = V diag(l) V^T:  -V [ (V^T G V)_ij / (sqrt(l_i) sqrt(l_j) (sqrt(l_i) + sqrt(l_j))) ] V^T.
    Bounded also where eigenvalues repeat, unlike the derivative of the eigenvectors.
    """
    gradient: Tensor = _Gradient.apply(matrix, values, vectors, grad)
    return gradient


class _Gradient(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(matrix: Tensor, values: Tensor, vectors: Tensor, grad: Tensor) -> Tensor:
        del matrix  # the matrix is here so that its second derivative is asked of this function
        roots = values.sqrt()
        pair_sum = roots.unsqueeze(-1) + roots.unsqueeze(-2)
        weight = 1 / (roots.unsqueeze(-1) * roots.unsqueeze(-2) * pair_sum)
        return -vectors @ (weight * (vectors.mT @ symmetrize(grad) @ vectors)) @ vectors.mT

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> NoReturn:
        raise RuntimeError(
            "the converged and eigendecomposition inverse roots have no second derivative: use NewtonSchulz(n)"
        )
