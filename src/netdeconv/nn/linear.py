"""Whitened linear layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from netdeconv.linalg import PatchGeometry
from netdeconv.nn.layer import WeightedWhitenedLayer, compute_dtype, refuse_tracing
from netdeconv.nn.whitening import Whitening


class WhitenedLinear(WeightedWhitenedLayer, nn.Linear):  # type: ignore[misc]  # torch leaves its bias unannotated
    """Linear layer of whitened features; every row is sampled.

    Args:
        in_features: F, features of the input.
        out_features: O, features of the output.
        bias: whether a learned bias is added.
        device: of parameters and statistics.
        dtype: of the parameters; statistics are float32 or wider.
        whitening: a :class:`Whitening`, whose ``group_size`` counts features, or None for its defaults.

    Shapes:
        (..., F) to (..., O); rows of all leading dimensions are samples. Buffers of ``statistics``:
        ``running_mean`` (1, B), ``running_whitening`` (1, B, B).

    Raises:
        TypeError: when the input is not of real floating-point numbers.
        ValueError: for another number of features. A single row is whitened as in evaluation, in training too.

    Numerics:
        As :class:`WhitenedConv2d`. With fewer rows than features in a block the covariance is singular; few
        iterations then bound the gain of unseen directions.

    Source:
        Ye et al., "Network Deconvolution", ICLR 2020; the published default is 512 features in a block.

    Example:
        >>> WhitenedLinear(6, 2)(torch.randn(8, 6)).shape
        torch.Size([8, 2])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        whitening: Whitening | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        self._whiten_input(PatchGeometry(), in_features, 1, whitening)

    def forward(self, input: Tensor) -> Tensor:
        """Apply to (..., F)."""
        x = self._prepare(input)
        x, mean, matrix = self.statistics(x, frozen=self.frozen)
        x, weight, bias = self._whiten(x, mean, matrix)
        with torch.autocast(x.device.type, enabled=False):
            y = nn.functional.linear(x, weight, bias)
        return y if input.dim() == y.dim() else y.reshape(*input.shape[:-1], self.out_features)  # no view: FSDP2 warns

    def _prepare(self, input: Tensor) -> Tensor:
        refuse_tracing(input)
        if not input.dim() or input.shape[-1] != self.in_features:
            raise ValueError(f"WhitenedLinear expects input (..., {self.in_features}), got {tuple(input.shape)}")
        return input.to(compute_dtype(input)).reshape(-1, self.in_features)

    def _weight_rows(self, weight: Tensor) -> Tensor:
        return weight.unsqueeze(2)

    def _from_rows(self, rows: Tensor) -> Tensor:
        return rows.squeeze(2)
