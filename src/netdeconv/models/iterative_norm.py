"""Iterative normalisation: whitening after the layer, where batch norm stands; the field's rival."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional

from netdeconv.linalg import Grouping
from netdeconv.linalg.precision import full_precision
from netdeconv.nn import ChannelWhitening, Whitening
from netdeconv.nn.functional import Statistics, batch_covariance

# As Huang et al. chose: groups of 64 channels, five steps, all pixels; a matrix for each group of channels.
_ITERATIVE = Whitening(
    structure="channel", group_size=64, num_iterations=5, eps=1e-5, sampling_stride=1, momentum=0.1, layout="blocks"
)


def trace_scaled_root(covariance: Tensor, num_iterations: int) -> Tensor:
    r"""Inverse square root of covariances by Newton's iteration, scaled by the trace.

    :math:`P_{k+1} = (3 P_k - P_k^3 \Sigma / \mathrm{tr} \Sigma) / 2` from :math:`P_0 = I`; the root is
    :math:`P_T / \sqrt{\mathrm{tr} \Sigma}`. The library's own :func:`netdeconv.inverse_sqrt` scales by the Frobenius
    norm, which is smaller: the same number of steps whitens more there.

    Args:
        covariance: symmetric positive definite, in float32 or wider.
        num_iterations: T.

    Shapes: (G, D, D) to the same.

    Source: Huang et al., "Iterative Normalization", CVPR 2019, equations 6 to 8.
    """
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
    scaled = covariance / trace
    root = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device).expand_as(covariance)
    for _ in range(num_iterations):
        root = torch.baddbmm(root, torch.bmm(root, root), torch.bmm(root, scaled), beta=1.5, alpha=-0.5)
    return root / trace.sqrt()


class IterativeNorm(ChannelWhitening):
    r"""Iterative normalisation: whitened outputs of a layer, scaled and shifted, :math:`\gamma D (x - \mu) + \beta`.

    It stands where batch norm stands. Each group of channels has a whitening matrix of its own, from all pixels.

    Args:
        num_features: channels.
        whitening: settings; ``None``: the authors'.
        device: of parameters and statistics.
        dtype: of the parameters.

    Shapes:
        (N, C, ...) or (N, C) to the same. Buffers ``running_mean`` (G, B), ``running_whitening`` (G, B, B).

    Raises:
        ValueError: for another number of channels, or fewer than two rows in training.

    Numerics:
        Covariance, centred, and its root in float32 or wider; the product in the input's (autocast's) dtype.

    Source:
        Huang et al., "Iterative Normalization: Beyond Standardization towards Efficient Whitening", CVPR 2019. The
        running averages here are corrected for their start; where 64 does not divide the channels, a group has the
        largest divisor below it.

    Example:
        >>> IterativeNorm(128)(torch.randn(4, 128, 6, 6)).shape
        torch.Size([4, 128, 6, 6])
    """

    def __init__(
        self,
        num_features: int,
        *,
        whitening: Whitening | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        settings = dataclasses.replace(whitening or _ITERATIVE, layout="blocks")
        super().__init__(num_features, whitening=settings, device=device, dtype=dtype)
        self.weight = nn.Parameter(torch.ones(num_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(num_features, device=device, dtype=dtype))

    @staticmethod
    def _divide(channels: int, whitening: Whitening) -> Grouping:
        """A matrix for each block."""
        shared = ChannelWhitening._divide(channels, whitening)
        return Grouping(shared.num_blocks, 1, shared.block_channels)

    def _batch_statistics(self, x: Tensor) -> tuple[Tensor, Statistics]:
        settings = self.whitening
        x, mean, covariance = batch_covariance(x, self._sampling(x), self.grouping, settings, **self._sharing)
        with full_precision(x):
            eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
            root = trace_scaled_root(covariance + settings.eps * eye, settings.num_iterations)
        return x, Statistics(mean, root)

    def _apply_matrix(self, x: Tensor, statistics: Statistics) -> Tensor:
        """One grouped 1x1 convolution: the matrices with the scale, and what they make of the mean."""
        with full_precision(x):
            scale = self.weight.to(statistics.matrix.dtype).view(self.num_matrices, -1, 1)
            matrix = scale * statistics.matrix
            shift = self.bias.to(matrix.dtype) - (matrix @ statistics.mean.unsqueeze(2)).flatten()
        pixels = x if x.dim() == 4 else x.reshape(*x.shape[:2], -1, 1)
        weight = matrix.reshape(self.num_features, -1, 1, 1).to(x.dtype)
        whitened = functional.conv2d(pixels, weight, shift.to(x.dtype), groups=self.num_matrices)
        return whitened.reshape(x.shape)
