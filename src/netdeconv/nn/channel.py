"""Stand-alone channel whitening: the data itself is whitened, in place of a normalisation layer."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from netdeconv.linalg import Grouping, PatchGeometry
from netdeconv.linalg.precision import full_precision
from netdeconv.nn.layer import WhitenedLayer, compute_dtype, warn_unless_finite
from netdeconv.nn.sampler import Sampler
from netdeconv.nn.statistics import InputStatistics
from netdeconv.nn.whitening import Whitening, checked, is_count


class ChannelWhitening(WhitenedLayer):
    r"""Whitens the channels of feature maps or vectors: :math:`y = D (x - \mu)`.

    Args:
        num_features: C, channels.
        whitening: settings; its structure is not used. ``None``: the defaults.
        device: of the statistics.
        dtype: of the statistics, float32 at least.

    Shapes:
        (N, C) or (N, C, ...) to the same. Buffers of ``statistics``: ``running_mean`` (1, B),
        ``running_whitening`` (1, B, B).

    Raises:
        TypeError: when the input is not of real floating-point numbers.
        ValueError: for another number of channels.

    Numerics:
        Statistics in float32 or wider; the product in the input's (autocast's) dtype.

    Source:
        The published ChannelDeconv (:class:`netdeconv.published.ChannelDeconv`). Ours centres the covariance, and has
        no channels left over.

    Example:
        >>> ChannelWhitening(8)(torch.randn(4, 8, 6, 6)).shape
        torch.Size([4, 8, 6, 6])
    """

    def __init__(
        self,
        num_features: int,
        *,
        whitening: Whitening | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.input_dims: int | None = None
        settings = dataclasses.replace(checked(whitening), structure="channel")
        if not is_count(num_features):
            raise ValueError(f"num_features must be a positive integer, got {num_features!r}")
        grouping = Grouping.of(num_features, 1, settings.group_size)
        like = torch.empty(0, device=device, dtype=dtype)
        name = f"ChannelWhitening({num_features})"
        self.statistics = InputStatistics(Sampler(PatchGeometry(), grouping, settings), like, name)

    def forward(self, input: Tensor) -> Tensor:
        """Whiten (N, C) or (N, C, ...)."""
        x = self._prepare(input)
        x, mean, matrix = self.statistics(x, exclusive=False)
        return self._apply_matrix(x, mean[0], matrix[0])

    def _prepare(self, input: Tensor) -> Tensor:
        if input.dim() < 2 or input.shape[1] != self.num_features:
            raise ValueError(f"expected input (N, {self.num_features}, ...), got {tuple(input.shape)}")
        self.input_dims = input.dim()
        return input.to(compute_dtype(input))

    def _apply_matrix(self, x: Tensor, mean: Tensor, matrix: Tensor) -> Tensor:
        grouping = self.sampler.grouping
        with full_precision(x):
            shift = (matrix @ mean).to(x.dtype).unsqueeze(-1)
            blocks = grouping.split(x, 1, groups=False)  # N S B ...
            whitened = matrix.to(x.dtype) @ blocks.unsqueeze(-1).flatten(3) - shift
            return grouping.merge(whitened.reshape(blocks.shape), 1, groups=False)

    @torch.no_grad()
    def folded_matrix_and_bias(self) -> tuple[Tensor, Tensor]:
        """Matrix (C, C) and bias (C,) of the same map in evaluation mode, in the statistics' dtype."""
        running = self.statistics
        eye = torch.eye(self.num_features, dtype=running.running_mean.dtype, device=running.running_mean.device)
        apply = (running.running_mean[0], running.running_whitening[0])
        bias = self._apply_matrix(torch.zeros_like(eye[:1]), *apply).squeeze(0)
        matrix = (self._apply_matrix(eye, *apply) - bias).T.contiguous()
        warn_unless_finite(running.layer, matrix, bias)
        return matrix, bias

    def extra_repr(self) -> str:
        """The number of channels, for ``print(model)``."""
        return str(self.num_features)
