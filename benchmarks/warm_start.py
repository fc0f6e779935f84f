r"""Warm-started inverse roots, as an experiment: every step starts from the last step's matrix instead of the identity.

With Z from the step before, M = Z^T A Z is near the identity, and few Newton-Schulz steps give R = M^(-1/2), so that
D = Z R whitens: D^T A D = I. D is then no function of the covariance alone: it is not symmetric, it turns as the
covariance changes, and small eigenvalues are amplified more from step to step, where a cold start of few steps
whitens them in part. The library does not have it; ``less_work`` trains with it to show what it would be worth.

Letters: G matrices of D features.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from netdeconv import Whitening
from netdeconv.linalg.newton_schulz import _derivative_of_scaled, _root_of_scaled
from netdeconv.linalg.precision import full_precision, symmetrize
from netdeconv.nn import WhitenedLayer, functional

_POWER_STEPS = 4  # matrix times vector, for the largest eigenvalue
_LARGEST = 2.0  # of M; the steps converge below 3


class WarmRoot(torch.autograd.Function):
    """D = Z R for covariances (G, D, D), and starts Z (G, D, D), which are constants."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, start: Tensor, num_iterations: int) -> Tensor:
        ctx.num_iterations = num_iterations
        with full_precision(matrix):
            inner = symmetrize(torch.bmm(torch.bmm(start.mT, matrix), start))
            scale = (largest_eigenvalue(inner) / _LARGEST).clamp_min(1)  # 1 unless the data changed at once
            ctx.save_for_backward(inner / scale, start, scale)
            return torch.bmm(start, symmetrize(_root_of_scaled(inner / scale, num_iterations)) / scale.sqrt())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        inner, start, scale = ctx.saved_tensors
        with full_precision(inner):
            grad = symmetrize(torch.bmm(start.mT, grads[0])) / scale**1.5
            grad = _derivative_of_scaled(inner, grad, ctx.num_iterations)
            return torch.bmm(torch.bmm(start, grad), start.mT), None, None


def largest_eigenvalue(matrix: Tensor) -> Tensor:
    """An estimate from below (G, 1, 1) for positive semidefinite matrices (G, D, D)."""
    vector = matrix.sum(-1, keepdim=True) + matrix.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)
    for _ in range(_POWER_STEPS):
        vector = torch.bmm(matrix, vector / torch.linalg.vector_norm(vector, dim=1, keepdim=True))
    return torch.linalg.vector_norm(vector, dim=1, keepdim=True)


@contextmanager
def warm_started(num_iterations: int) -> Iterator[None]:
    """Inside, whitened layers take so many steps from their last matrix; frozen ones, and first steps, are as ever.

    Args:
        num_iterations: steps, at least 1.
    """
    held: weakref.WeakKeyDictionary[WhitenedLayer, dict[int, Tensor]] = weakref.WeakKeyDictionary()
    layers: list[WhitenedLayer] = []  # whose statistics are being taken
    statistics, cold = WhitenedLayer._statistics, functional._regularized_root

    def of_layer(layer: WhitenedLayer, x: Tensor) -> tuple[Tensor, functional.Statistics]:
        layers.append(layer)
        try:
            return statistics(layer, x)
        finally:
            layers.pop()

    def root(covariance: Tensor, settings: Whitening) -> Tensor:
        if not layers or layers[-1].num_steps is not None:
            return cold(covariance, settings)
        starts = held.setdefault(layers[-1], {})
        size = covariance.shape[-1]
        if size in starts:
            eye = torch.eye(size, dtype=covariance.dtype, device=covariance.device)
            found: Tensor = WarmRoot.apply(covariance + settings.eps * eye, starts[size], num_iterations)
        else:
            found = cold(covariance, settings)
        starts[size] = found.detach().clone()
        return found

    with (
        patch.object(WhitenedLayer, "_statistics", of_layer),
        patch.object(functional, "_regularized_root", root),
    ):
        yield
