"""Whitened linear layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from netdeconv.linalg import Grouping, PatchGeometry
from netdeconv.nn.functional import Statistics, batch_statistics, rescaled_statistics
from netdeconv.nn.weighted import WeightedWhitenedLayer, compute_dtype
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
        (..., F) to (..., O); rows of all leading dimensions are samples. Buffers ``running_mean`` (1, B),
        ``running_whitening`` (1, B, B).

    Raises:
        ValueError: for another number of features, or in training with fewer than two rows.

    Numerics:
        As :class:`WhitenedConv2d`. With fewer rows than features in a block the covariance is singular; few
        iterations then bound the gain of unseen directions.

    Source:
        Ye et al., "Network Deconvolution", ICLR 2020; the published default is 512 features in a block.

    Example:
        >>> WhitenedLinear(6, 2)(torch.randn(8, 6)).shape
        torch.Size([8, 2])
    """

    _rows = PatchGeometry()

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
        whitening = whitening or Whitening()
        grouping = Grouping.of(
            self.in_features,
            1,
            whitening.group_size,
            interleaved=False,  # the published linear layer groups neighbouring features in every layout
            common_divisor=whitening.layout == "reference",
        )
        self._register_statistics(grouping, 1, whitening, self.weight, full=False)

    def _prepare(self, input: Tensor) -> Tensor:
        if input.shape[-1] != self.in_features:
            raise ValueError(f"expected input (..., {self.in_features}), got {tuple(input.shape)}")
        return input.to(compute_dtype(input)).reshape(-1, self.in_features)

    def _check(self, x: Tensor) -> None:
        if x.shape[0] * self.num_groups < 2 and not self._sharing:  # other ranks may have more
            raise ValueError(
                f"whitening needs at least two rows in training, got {x.shape[0]}: "
                "use a larger batch, or evaluation mode"
            )

    def _batch_statistics(self, x: Tensor) -> tuple[Tensor, Statistics]:
        self._check(x)
        return batch_statistics(
            x, self._rows, self._rows, self.grouping, self.whitening, exclusive=True, **self._sharing
        )

    def _rescaled_statistics(self, x: Tensor, held: Statistics) -> tuple[Tensor, Statistics]:
        self._check(x)
        return rescaled_statistics(x, held, self._rows, self.grouping, self.whitening, exclusive=True, **self._sharing)

    def _weight_rows(self, weight: Tensor) -> Tensor:
        return weight.unsqueeze(2)

    def _from_rows(self, rows: Tensor) -> Tensor:
        return rows.squeeze(2)

    def forward(self, input: Tensor) -> Tensor:
        """Apply to (..., F)."""
        x, weight, bias = self._effective(self._prepare(input))
        with torch.autocast(x.device.type, enabled=False):
            y = nn.functional.linear(x, weight, bias)
        return y.reshape(*input.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """Torch's description, then the whitening's."""
        return f"{super().extra_repr()}, {self._extra_repr()}"
