r"""Mean and mean variance of sampled patches: what is left of the statistics when no covariance is wanted.

Letters: as in patches.py; R = S positions rows of a map, n = N R rows of a batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from netdeconv.linalg.covariance import own_gradient
from netdeconv.linalg.geometry import PatchGeometry
from netdeconv.linalg.grouping import Grouping
from netdeconv.linalg.patches import gather_patches, scatter_patches
from netdeconv.linalg.precision import full_precision, statistics_dtype


def patch_scale(
    x: Tensor, geometry: PatchGeometry, grouping: Grouping, *, exclusive: bool = False, image_step: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Mean of sampled patches, and their variance averaged over features.

    :math:`\mu = \frac1n \sum x`, :math:`s = \frac{1}{n D} \sum \|x - \mu\|^2 = \mathrm{tr}\,\Sigma / D`.

    The batch is summed first, then patches are taken from the sums: no patch of the batch is copied.

    Args:
        x: input of any floating dtype; results are float32 or wider.
        geometry: where patches lie; not a raster.
        grouping: the blocks.
        exclusive: as in :func:`patch_statistics`.
        image_step: likewise.

    Shapes:
        x (N, C, ...); results x itself, mean (G, D), scale (G,).

    Returns:
        ``x`` (use it in place of the input: its gradient then flows through here), mean, scale.

    Raises:
        ValueError: for a raster, and when the kernel is larger than the input.

    Numerics:
        The variance over the batch is a difference of moments of one position in float32; it loses digits where the
        mean of a position is many times its standard deviation.
    """
    if geometry.raster:
        raise ValueError("patch_scale does not know the published raster")
    same, mean_GD, scale_G = _PatchScale.apply(x, geometry, grouping, exclusive, image_step)
    return same, mean_GD, scale_G


class _PatchScale(torch.autograd.Function):
    """Keeps the input and the mean; backward adds a map times the input and a map to the input's gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, geometry: PatchGeometry, grouping: Grouping, exclusive: bool, image_step: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        dtype = statistics_dtype(x.dtype)
        with full_precision(x):
            sample, dense = _sample(x[::image_step], geometry)
            count = len(sample)
            mean = sample.sum(0, keepdim=True, dtype=dtype) / count
            # squares are rounded to the input's dtype; the sum over the batch averages that away
            variance = (sample.square().sum(0, keepdim=True, dtype=dtype) / count - mean.square()).clamp_min(0)
            means = gather_patches(mean, dense, grouping, dtype=dtype)  # G R D
            mean_GD = means.mean(1)
            variances = gather_patches(variance, dense, grouping, dtype=dtype)
            scale_G = (variances + (means - mean_GD.unsqueeze(1)).square()).mean((1, 2))
        ctx.geometry, ctx.grouping, ctx.exclusive, ctx.rows = geometry, grouping, exclusive, means.shape[1]
        ctx.image_step = image_step
        ctx.save_for_backward(x, mean_GD)
        return x.view_as(x), mean_GD, scale_G

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, mean_GD = ctx.saved_tensors
        grad_x, grad_mean_GD, grad_scale_G = grads
        with full_precision(x):
            sample, dense = _sample(x[:: ctx.image_step], ctx.geometry)
            count = len(sample) * ctx.rows
            factor_G1 = (2 * grad_scale_G / (count * mean_GD.shape[1])).unsqueeze(1)
            offset_GD = grad_mean_GD / count - factor_G1 * mean_GD
            slope, offset = (
                _to_map(features.unsqueeze(1).expand(-1, ctx.rows, -1), sample, dense, ctx.grouping)
                for features in (factor_G1.expand_as(mean_GD), offset_GD)
            )
            grad_x = own_gradient(grad_x, exclusive=ctx.exclusive)
            part, _ = _sample(grad_x[:: ctx.image_step], ctx.geometry)
            # in float32: rounding slope and offset apart would leave a part of the mean in the sum
            part.add_((sample * slope + offset).to(part.dtype))
        return grad_x, None, None, None, None


def _sample(x: Tensor, geometry: PatchGeometry) -> tuple[Tensor, PatchGeometry]:
    """A view of the positions that any patch reads, and where the patches lie in it: fewer for single pixels."""
    axes = len(geometry.step)
    if geometry.num_taps > 1 or any(any(pair) for pair in geometry.padding):
        return x, geometry
    view = x[(slice(None), slice(None), *(slice(None, None, step) for step in geometry.step))]
    return view, PatchGeometry((1,) * axes, (1,) * axes, ((0, 0),) * axes, (1,) * axes)


def _to_map(patches: Tensor, x: Tensor, geometry: PatchGeometry, grouping: Grouping) -> Tensor:
    """The adjoint of taking the patches (G, R, D) of a map: (1, C, ...)."""
    into = torch.zeros((1, *x.shape[1:]), dtype=patches.dtype, device=x.device)
    return scatter_patches(patches, into, geometry, grouping)
