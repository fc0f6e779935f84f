"""Symmetric positive definite matrices with known spectra."""

from __future__ import annotations

import torch
from torch import Tensor


def rotation(size: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """A random orthogonal matrix."""
    return torch.linalg.qr(torch.randn(size, size, dtype=torch.float64))[0].to(dtype)


def with_spectrum(values: Tensor, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """A matrix with these eigenvalues and its exact inverse square root, both rounded from float64."""
    basis = rotation(len(values))
    values = values.double()
    return ((basis * values) @ basis.T).to(dtype), ((basis * values.rsqrt()) @ basis.T).to(dtype)


SPECTRA = {
    "identity": torch.ones(6),
    "equal pairs": torch.tensor([4.0, 4.0, 1.0, 1.0, 0.25, 0.25]),
    "graded": torch.logspace(0, -3, 6),
    "one large": torch.tensor([100.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
    "tiny scale": torch.logspace(-12, -14, 6),
    "huge scale": torch.logspace(10, 8, 6),
}
