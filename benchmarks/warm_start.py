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

from netdeconv.linalg import NewtonSchulz
from netdeconv.linalg.newton_schulz import _derivative_of_scaled, _root_of_scaled
from netdeconv.linalg.precision import full_precision, symmetrize
from netdeconv.nn import WhitenedLayer, functional

_POWER_STEPS = 4  # matrix times vector, for the largest eigenvalue
_LARGEST = 2.0  # of M; the steps converge below 3


class WarmRoot(torch.autograd.Function):
    """D = Z R for covariances (G, D, D), and starts Z (G, D, D), which are constants.

    Where the largest eigenvalue of M is far from one, because the data changed at once, M is divided by a scale.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, start: Tensor, num_iterations: int) -> Tensor:
        ctx.num_iterations = num_iterations
        with full_precision(matrix):
            inner = symmetrize(torch.bmm(torch.bmm(start.mT, matrix), start))
            vector = leading_vector(inner)
            scale = (torch.bmm(vector.mT, torch.bmm(inner, vector)) / _LARGEST).clamp_min(1)
            root = symmetrize(_root_of_scaled(inner / scale, num_iterations)) / scale.sqrt()
            ctx.save_for_backward(inner / scale, start, scale, vector, root)
            return torch.bmm(start, root)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        inner, start, scale, vector, root = ctx.saved_tensors
        with full_precision(inner):
            grad = symmetrize(torch.bmm(start.mT, grads[0]))
            through_p = _derivative_of_scaled(inner, grad, ctx.num_iterations) / scale.sqrt()
            through_scale = -(through_p * inner + 0.5 * grad * root).sum((-2, -1), keepdim=True) / scale
            # an eigenvalue's gradient is the product of its vector with itself
            through_scale = torch.where(scale > 1, through_scale / _LARGEST, 0) * vector * vector.mT
            return torch.bmm(torch.bmm(start, through_p / scale + through_scale), start.mT), None, None


def leading_vector(matrix: Tensor) -> Tensor:
    """About the eigenvector (G, D, 1) of the largest eigenvalue of positive semidefinite matrices (G, D, D)."""
    vector = matrix.sum(-1, keepdim=True) + matrix.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)
    for _ in range(_POWER_STEPS):
        vector = torch.bmm(matrix, vector / torch.linalg.vector_norm(vector, dim=1, keepdim=True))
    return vector / torch.linalg.vector_norm(vector, dim=1, keepdim=True)


@contextmanager
def warm_started(num_iterations: int) -> Iterator[None]:
    """Inside, whitened layers take so many steps from their last matrix; frozen ones, and first steps, are as ever.

    Args:
        num_iterations: steps, at least 1.
    """
    held: weakref.WeakKeyDictionary[WhitenedLayer, dict[int, Tensor]] = weakref.WeakKeyDictionary()
    layers: list[WhitenedLayer] = []  # whose statistics are being taken
    statistics, cold = WhitenedLayer._statistics, functional.inverse_sqrt

    def of_layer(layer: WhitenedLayer, x: Tensor) -> tuple[Tensor, functional.Statistics]:
        layers.append(layer)
        try:
            return statistics(layer, x)
        finally:
            layers.pop()

    def root(matrix: Tensor, *, method: NewtonSchulz) -> Tensor:
        if not layers or layers[-1].num_steps is not None:
            return cold(matrix, method=method)
        starts, size = held.setdefault(layers[-1], {}), matrix.shape[-1]
        warm = size in starts
        found: Tensor = WarmRoot.apply(matrix, starts[size], num_iterations) if warm else cold(matrix, method=method)
        starts[size] = found.detach().clone()
        return found

    with (
        patch.object(WhitenedLayer, "_statistics", of_layer),
        patch.object(functional, "inverse_sqrt", root),
    ):
        yield
