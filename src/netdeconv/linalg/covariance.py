r"""Mean and covariance of sampled patches, with hand-written gradients.

Letters: as in patches.py; n = S P rows of a matrix.

Both functions also return the input itself. The convolution reads that alias, so in backward the gradient which the
convolution produced arrives here, and the statistics' share is added at the sampled positions: no zero-filled gradient,
no second pass over the activation, and the patches are read again instead of kept. ``exclusive`` adds in place.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from netdeconv import kernels
from netdeconv.linalg.grouping import Grouping
from netdeconv.linalg.patches import PatchGeometry, gather_patches, scatter_patches
from netdeconv.linalg.precision import full_precision, statistics_dtype, symmetrize
from netdeconv.linalg.symmetric import gram


def patch_statistics(
    x: Tensor,
    geometry: PatchGeometry,
    grouping: Grouping,
    *,
    centred: bool = True,
    exclusive: bool = False,
    image_step: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Mean and covariance of sampled patches.

    :math:`\mu = \frac1n \sum x`, :math:`\Sigma = \frac1n \sum (x - \mu)^T (x - \mu)`, centred before the product.

    Args:
        x: input of any floating dtype; statistics are float32 or wider.
        centred: whether the covariance is centred; False is the published channel whitening.
        exclusive: the caller promises that the returned ``x`` is read by one operation alone, whose backward makes
            the gradient of ``x`` anew (a convolution, a linear layer); backward then adds to it in place.
        image_step: sample every n-th entry of the batch.

    Shapes:
        x (N, C, ...); results x itself, mean (G, D), covariance (G, D, D).

    Returns:
        ``x`` (use it in place of the input: its gradient then flows through here), mean, covariance.

    Raises:
        ValueError: when the kernel is larger than the input.

    Numerics:
        Both are sums over n rows in float32; the error of an entry grows with sqrt(n) eps at most. The gradient's
        product of rows and covariance gradient is made in bfloat16 for bfloat16 input, whose gradient is rounded so.
    """
    same, mean_GD, covariance_GDD = _PatchStatistics.apply(x, geometry, grouping, centred, exclusive, image_step)
    return same, mean_GD, covariance_GDD


class _PatchStatistics(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        geometry: PatchGeometry,
        grouping: Grouping,
        centred: bool,
        exclusive: bool,
        image_step: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        with full_precision(x):
            sample = x[::image_step]
            if kernels.supports_patch_statistics(sample, geometry.kernel_size, raster=geometry.raster) and (
                kernels.usable(sample)
            ):
                mean_GD, covariance_GDD = _by_kernel(sample, geometry, grouping, centred)
            else:
                mean_GD, covariance_GDD = _mean_and_covariance(sample, geometry, grouping, centred)
        ctx.geometry, ctx.grouping, ctx.centred, ctx.exclusive = geometry, grouping, centred, exclusive
        ctx.image_step = image_step
        ctx.save_for_backward(x, mean_GD)
        return x.view_as(x), mean_GD, covariance_GDD

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, mean_GD = ctx.saved_tensors
        grad_x, grad_mean_GD, grad_covariance_GDD = grads
        with full_precision(x):
            patches = gather_patches(x[:: ctx.image_step], ctx.geometry, ctx.grouping, dtype=x.dtype)
            rows = patches.shape[1]
            patches = _centred(patches, mean_GD if ctx.centred else None, mean_GD.dtype)
            # Rows are centred before they are rounded. (x - mean) S as x S - mean S, with S rounded in one of them,
            # leaves a part of the mean in every row: the loss is then no longer indifferent to shifts, and diverges.
            dtype = x.dtype if x.dtype == torch.bfloat16 else mean_GD.dtype
            slope_GDD = symmetrize(grad_covariance_GDD) * (2 / rows)
            offset_G1D = grad_mean_GD.unsqueeze(1) / rows
            share = torch.baddbmm(offset_G1D.to(dtype), patches.to(dtype), slope_GDD.to(dtype)).to(grad_x.dtype)
            grad_x = own_gradient(grad_x, exclusive=ctx.exclusive)
            scatter_patches(share, grad_x[:: ctx.image_step], ctx.geometry, ctx.grouping)
        return grad_x, None, None, None, None, None


def _mean_and_covariance(
    sample: Tensor, geometry: PatchGeometry, grouping: Grouping, centred: bool
) -> tuple[Tensor, Tensor]:
    dtype = statistics_dtype(sample.dtype)
    patches = gather_patches(sample, geometry, grouping, dtype=sample.dtype)
    mean_GD = patches.mean(1, dtype=dtype)
    return mean_GD, gram(_centred(patches, mean_GD if centred else None, dtype)) / patches.shape[1]


def _by_kernel(sample: Tensor, geometry: PatchGeometry, grouping: Grouping, centred: bool) -> tuple[Tensor, Tensor]:
    """The same without a copy of the patches, on a GPU."""
    return kernels.patch_statistics(
        sample,
        geometry.kernel_size,
        geometry.step,
        [side for pair in geometry.padding for side in pair],
        geometry.dilation,
        grouping.num_matrices,
        grouping.num_blocks,
        grouping.block_channels,
        grouping.interleaved,
        centred,
    )


def _centred(patches: Tensor, mean_GD: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Patches in the statistics' dtype, less their mean; those of the input are narrower and cheaper to copy."""
    return patches.to(dtype) if mean_GD is None else torch.sub(patches, mean_GD.unsqueeze(1))


def own_gradient(grad: Tensor, *, exclusive: bool) -> Tensor:
    """A gradient that may be added to in place: a copy where others read it, autograd records or a compiler traces."""
    in_place = exclusive and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return grad if in_place else grad.clone()


def tap_covariance(
    x: Tensor,
    mean_GB: Tensor,
    metric_GBB: Tensor,
    geometry: PatchGeometry,
    grouping: Grouping,
    *,
    exclusive: bool = False,
    image_step: int = 1,
) -> tuple[Tensor, Tensor]:
    r"""Covariance of kernel taps after the channels were whitened, averaged over channels.

    With patches x of K taps and the metric :math:`M = D_{channel}^2`:
    :math:`\Sigma_{kl} = \frac{1}{n B} \sum (x_k - \mu)^T M (x_l - \mu)`.

    Args:
        x: input of any floating dtype.
        mean_GB: mean of the channels.
        metric_GBB: the channel matrix multiplied by itself, symmetric.
        geometry: the patches whose taps are compared.
        grouping: the blocks.
        exclusive: as in :func:`patch_statistics`.
        image_step: likewise.

    Shapes:
        x (N, C, ...), mean (G, B), metric (G, B, B); results x itself and covariance (G, K, K).

    Returns:
        ``x`` (as in :func:`patch_statistics`) and the covariance.
    """
    same, covariance_GKK = _TapCovariance.apply(x, mean_GB, metric_GBB, geometry, grouping, exclusive, image_step)
    return same, covariance_GKK


def _centred_taps(x: Tensor, mean_GB: Tensor, geometry: PatchGeometry, grouping: Grouping) -> Tensor:
    """(G, K, n, B)."""
    patches = gather_patches(x, geometry, grouping, dtype=mean_GB.dtype, taps_first=True)
    centred: Tensor = patches.unflatten(2, (-1, mean_GB.shape[1])) - mean_GB[:, None, None, :]
    return centred


class _TapCovariance(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        mean_GB: Tensor,
        metric_GBB: Tensor,
        geometry: PatchGeometry,
        grouping: Grouping,
        exclusive: bool,
        image_step: int,
    ) -> tuple[Tensor, Tensor]:
        with full_precision(x):
            taps = _centred_taps(x[::image_step], mean_GB, geometry, grouping)
            weighted = taps.flatten(1, 2) @ metric_GBB
            flat = taps.flatten(2)
            covariance_GKK = flat @ weighted.view_as(flat).mT / flat.shape[2]
        ctx.geometry, ctx.grouping, ctx.exclusive, ctx.image_step = geometry, grouping, exclusive, image_step
        ctx.save_for_backward(x, mean_GB, metric_GBB)
        return x.view_as(x), covariance_GKK

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, mean_GB, metric_GBB = ctx.saved_tensors
        grad_x, grad_covariance_GKK = grads
        with full_precision(x):
            taps = _centred_taps(x[:: ctx.image_step], mean_GB, ctx.geometry, ctx.grouping)
            scale = 1 / (taps.shape[2] * taps.shape[3])
            mixed = (symmetrize(grad_covariance_GKK) * scale) @ taps.flatten(2)  # G K (n B)
            mixed = mixed.view(taps.shape[0], -1, taps.shape[3])  # G (K n) B
            grad_metric_GBB = symmetrize(taps.flatten(1, 2).mT @ mixed)
            share = 2 * (mixed @ metric_GBB)
            grad_mean_GB = -share.sum(1)
            share = share.view(taps.shape[0], taps.shape[1], -1)
            grad_x = own_gradient(grad_x, exclusive=ctx.exclusive)
            share = share.to(grad_x.dtype)
            scatter_patches(share, grad_x[:: ctx.image_step], ctx.geometry, ctx.grouping, taps_first=True)
        return grad_x, grad_mean_GB, grad_metric_GBB, None, None, None, None
