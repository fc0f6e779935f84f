"""Stand-alone channel whitening: the data itself is whitened, in place of a normalisation layer."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from netdeconv.linalg import Grouping, PatchGeometry
from netdeconv.linalg.precision import full_precision
from netdeconv.nn.functional import Statistics, batch_statistics, rescaled_statistics
from netdeconv.nn.layer import WhitenedLayer
from netdeconv.nn.weighted import compute_dtype
from netdeconv.nn.whitening import Whitening


class ChannelWhitening(WhitenedLayer):
    r"""Whitens the channels of feature maps or vectors: :math:`y = D (x - \mu)`.

    Args:
        num_features: C, channels.
        whitening: settings; its structure is not used. ``None``: the defaults.

    Shapes:
        (N, C) or (N, C, ...) to the same. Buffers ``running_mean`` (1, B), ``running_whitening`` (1, B, B); with
        ``layout="reference"`` also ``running_mean2`` and ``running_var`` (1, 1) of left-over channels.

    Raises:
        ValueError: for another number of channels, or fewer than two sampled rows in training.

    Numerics:
        Statistics in float32 or wider; the product in the input's (autocast's) dtype.

    Source:
        The published ChannelDeconv. Ours centres the covariance and divides channels evenly; ``layout="reference"``
        does neither: the second moment is not centred, channels beyond the last whole block share one scalar mean and
        variance, and the first batch replaces the running statistics.

    Example:
        >>> ChannelWhitening(8)(torch.randn(4, 8, 6, 6)).shape
        torch.Size([4, 8, 6, 6])
    """

    running_mean2: Tensor | None
    running_var: Tensor | None

    def __init__(
        self,
        num_features: int,
        *,
        whitening: Whitening | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        whitening = dataclasses.replace(whitening or Whitening(), structure="channel")
        self.num_features = num_features
        self.input_dims: int | None = None
        like = torch.empty(0, device=device, dtype=dtype)
        reference = whitening.layout == "reference"
        block = min(whitening.group_size, num_features)
        whole = num_features - num_features % block if reference else num_features
        grouping = self._divide(whole, whitening)
        self.num_leftover = num_features - whole
        self.register_buffer("running_mean2", None)
        self.register_buffer("running_var", None)
        self._register_statistics(grouping, 1, whitening, like, full=False)
        if reference:
            scalar = self.running_mean.new_zeros(1, 1)
            self.running_mean2, self.running_var = scalar, scalar.clone() + 1

    @staticmethod
    def _divide(channels: int, whitening: Whitening) -> Grouping:
        """Blocks that share one matrix."""
        return Grouping.of(
            channels,
            1,
            whitening.group_size,
            interleaved=whitening.layout != "blocks",
            common_divisor=whitening.layout == "reference",
        )

    def reset_running_stats(self) -> None:
        """Forget all statistics."""
        super().reset_running_stats()
        if self.running_mean2 is not None and self.running_var is not None:
            self.running_mean2.zero_()
            self.running_var.fill_(1)

    def _prepare(self, input: Tensor) -> Tensor:
        if input.dim() < 2 or input.shape[1] != self.num_features:
            raise ValueError(f"expected input (N, {self.num_features}, ...), got {tuple(input.shape)}")
        self.input_dims = input.dim()
        return input.to(compute_dtype(input))

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        whole = self.num_features - self.num_leftover
        return x[:, :whole], x[:, whole:]

    def _sampling(self, x: Tensor) -> PatchGeometry:
        """Pixels to sample: all where the sampling stride leaves too few."""
        if self._sharing:  # all ranks sample alike, however few rows one of them has
            return _pixels(x.dim() - 2, self.whitening.sampling_stride)
        for step in (self.whitening.sampling_stride, 1):
            pixels = _pixels(x.dim() - 2, step)
            if pixels.num_samples(x.shape) * self.num_groups >= 2:
                return pixels
        raise ValueError(
            f"whitening needs at least two sampled rows in training, got input {tuple(x.shape)}: "
            "use a larger batch or input, or evaluation mode"
        )

    def _batch_statistics(self, x: Tensor) -> tuple[Tensor, Statistics]:
        blocks, _ = self._split(x)
        if self.whitening.layout == "reference":
            step = self.whitening.sampling_stride
            return x, self._published_statistics(blocks, step**2 if x.dim() > 2 else 1)
        pixels = self._sampling(x)
        return x, batch_statistics(blocks, pixels, pixels, self.grouping, self.whitening, **self._sharing)[1]

    def _rescaled_statistics(self, x: Tensor, held: Statistics) -> tuple[Tensor, Statistics]:
        return x, rescaled_statistics(x, held, self._sampling(x), self.grouping, self.whitening, **self._sharing)[1]

    def _published_statistics(self, blocks: Tensor, step: int) -> Statistics:
        """Every ``step``-th row of the raster of blocks, batch and positions; second moment not centred."""
        rows = self.grouping.split(blocks, 1).squeeze(1).movedim(2, -1).transpose(0, 1).flatten(0, -2)[::step]
        one = Grouping(1, 1, self.group_size)
        geometry = _pixels(0, 1)
        return batch_statistics(rows, geometry, geometry, one, self.whitening, centred=False)[1]

    def _momentum(self) -> Tensor:
        """As published, the first batch replaces the running statistics."""
        momentum = super()._momentum()
        if self.whitening.layout != "reference":
            return momentum
        return torch.where(self.num_batches_tracked <= 1, torch.ones_like(momentum), momentum)

    def forward(self, input: Tensor) -> Tensor:
        """Whiten (N, C) or (N, C, ...)."""
        x = self._prepare(input)
        _, statistics = self._statistics(x) if self.training else (x, self.running_statistics())
        blocks, leftover = self._split(x)
        whitened = self._apply_matrix(blocks, statistics)
        if self.num_leftover:
            whitened = torch.cat([whitened, self._standardize(leftover)], 1)
        return whitened

    def _apply_matrix(self, x: Tensor, statistics: Statistics) -> Tensor:
        with full_precision(x):
            matrix, mean = statistics.matrix[0], statistics.mean[0]
            if statistics.factor is not None:
                matrix = matrix * statistics.factor
            shift = (matrix @ mean).to(x.dtype).unsqueeze(-1)
            positions = math.prod(x.shape[2:])
            if self.grouping.interleaved:
                flat = x.reshape(x.shape[0], self.group_size, self.num_groups * positions)
            else:
                flat = x.reshape(x.shape[0] * self.num_groups, self.group_size, positions)
            return (matrix.to(x.dtype) @ flat - shift).reshape(x.shape)

    def _standardize(self, leftover: Tensor) -> Tensor:
        """Published treatment of channels beyond the last whole block: one mean and variance for all."""
        assert self.running_mean2 is not None
        assert self.running_var is not None
        if self.training:
            sample = leftover.to(self.running_mean.dtype)
            mean, variance = sample.mean().view(1, 1), sample.var().view(1, 1)
            with torch.no_grad():
                weight = self._momentum()  # counted already by the blocks' update
                self.running_mean2.lerp_(mean.detach(), weight)
                self.running_var.lerp_(variance.detach(), weight)
        else:
            mean, variance = self.running_mean2, self.running_var
        scale = (variance + self.whitening.eps).rsqrt()
        return ((leftover - mean.to(leftover.dtype).view(())) * scale.to(leftover.dtype).view(())).to(leftover.dtype)

    @torch.no_grad()
    def folded_matrix_and_bias(self) -> tuple[Tensor, Tensor]:
        """Matrix (C, C) and bias (C,) of the same map in evaluation mode, in the statistics' dtype."""
        eye = torch.eye(self.num_features, dtype=self.running_mean.dtype, device=self.running_mean.device)
        training, dims = self.training, self.input_dims
        self.eval()
        bias = self.forward(torch.zeros_like(eye[:1])).squeeze(0)
        matrix = (self.forward(eye) - bias).T.contiguous()
        self.train(training)
        self.input_dims = dims
        return matrix, bias

    def extra_repr(self) -> str:
        """Channels and settings."""
        return f"{self.num_features}, {self._extra_repr()}"


def _pixels(axes: int, step: int) -> PatchGeometry:
    return PatchGeometry((1,) * axes, (step,) * axes, ((0, 0),) * axes, (1,) * axes)
