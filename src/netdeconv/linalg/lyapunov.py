"""The exact derivative of the inverse square root, from its Lyapunov equation."""

from __future__ import annotations

import torch
from torch import Tensor

from netdeconv.linalg.precision import symmetrize


def spectral_decomposition(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (..., D), raised to at least D eps times the largest, and eigenvectors (..., D, D)."""
    values, vectors = torch.linalg.eigh(symmetrize(matrix))
    floor = values[..., -1:] * (torch.finfo(matrix.dtype).eps * matrix.shape[-1])
    return values.maximum(floor.clamp_min(torch.finfo(matrix.dtype).tiny)), vectors


def inverse_sqrt_gradient(values: Tensor, vectors: Tensor, grad: Tensor) -> Tensor:
    r"""Gradient with respect to A of :math:`\langle G, A^{-1/2} \rangle`.

    With A = V diag(l) V^T:  -V [ (V^T G V)_ij / (sqrt(l_i) sqrt(l_j) (sqrt(l_i) + sqrt(l_j))) ] V^T.
    Bounded also where eigenvalues repeat, unlike the derivative of the eigenvectors.
    """
    roots = values.sqrt()
    pair_sum = roots.unsqueeze(-1) + roots.unsqueeze(-2)
    weight = 1 / (roots.unsqueeze(-1) * roots.unsqueeze(-2) * pair_sum)
    return -vectors @ (weight * (vectors.mT @ symmetrize(grad) @ vectors)) @ vectors.mT
