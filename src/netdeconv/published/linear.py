"""Delinear: the published linear layer whose weight is multiplied by a whitening matrix.

Letters: as in linalg/grouping.py.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from netdeconv.published.statistics import PublishedLayer, check, covariance_root, move


class Delinear(PublishedLayer, nn.Linear):
    """The published whitened linear layer, number for number.

    Args:
        in_features: F, features of the input.
        out_features: features of the output.
        bias: whether a learned bias is added.
        eps: added to the covariance's diagonal.
        n_iter: Newton-Schulz steps.
        momentum: weight of the new batch in the running averages, which start at zero and at the identity.
        block: neighbouring features in a block; their greatest common divisor with F where it does not divide F.

    Shapes:
        (N, F) to (N, O). Buffers ``running_mean`` (D,) and ``running_deconv`` (D, D).

    Raises:
        ValueError: when a setting is out of range, with its name and value.

    Source:
        as :class:`netdeconv.published.FastDeconv`.

    Example:
        >>> Delinear(6, 2)(torch.randn(8, 6)).shape
        torch.Size([8, 2])
    """

    running_mean: Tensor
    running_deconv: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        eps: float = 1e-5,
        n_iter: int = 5,
        momentum: float = 0.1,
        block: int = 512,
    ) -> None:
        super().__init__(in_features, out_features, bias)
        check(eps, momentum, n_iter=n_iter, block=block)
        self.eps, self.n_iter, self.momentum = eps, n_iter, momentum
        self.block = in_features if block > in_features else math.gcd(block, in_features)
        self.register_buffer("running_mean", torch.zeros(self.block))
        self.register_buffer("running_deconv", torch.eye(self.block))

    def forward(self, input: Tensor) -> Tensor:
        """Apply to the whitened input."""
        mean, matrix = self.running()
        if self.training:
            mean, matrix = covariance_root(input.reshape(-1, self.block), self.eps, self.n_iter)
            move(self.running_mean, mean, self.momentum)
            move(self.running_deconv, matrix, self.momentum)
        return nn.functional.linear(input, *self.whitened_weight(mean, matrix))

    def running(self) -> tuple[Tensor, Tensor]:
        """Copies of the statistics of evaluation: mean (D,) and matrix (D, D)."""
        return self.running_mean.clone(), self.running_deconv.clone()

    def whitened_weight(self, mean: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """D w, and the bias b - mean D w, for a mean (D,) and a matrix (D, D)."""
        whitened = self.weight.unflatten(1, (-1, self.block)) @ matrix  # O S D
        bias = -(whitened @ mean).sum(1)
        if self.bias is not None:
            bias = bias + self.bias
        return whitened.flatten(1), bias
