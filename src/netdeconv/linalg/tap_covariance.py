r"""Covariance of the kernel taps of whitened channels, with a hand-written gradient.

Letters: as in patches.py; n = S P rows of a matrix.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from netdeconv.linalg.covariance import own_gradient
from netdeconv.linalg.geometry import PatchGeometry
from netdeconv.linalg.grouping import Grouping
from netdeconv.linalg.patches import PatchCopier
from netdeconv.linalg.portions import portions
from netdeconv.linalg.precision import full_precision, symmetrize


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


def _centred_taps(x: Tensor, mean_GB: Tensor, copier: PatchCopier) -> Tensor:
    """(G, K, n, B), in the copier's memory where nothing is recorded."""
    patches = copier.gather(x, mean_GB.dtype)
    taps = patches.unflatten(2, (-1, mean_GB.shape[1]))
    mean = mean_GB[:, None, None, :]
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        centred: Tensor = taps - mean
        return centred
    return torch.sub(taps, mean, out=copier.memory("taps", tuple(taps.shape), taps, taps.dtype))


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
            sample = x[::image_step]
            covariance_GKK = mean_GB.new_zeros((len(mean_GB), geometry.num_taps, geometry.num_taps))
            copier = PatchCopier(geometry, grouping, taps_first=True)
            for part in portions(sample, geometry, mean_GB.dtype):
                taps = _centred_taps(sample[part], mean_GB, copier)
                flat, weighted = taps.flatten(2), taps.flatten(1, 2) @ metric_GBB
                covariance_GKK = torch.baddbmm(covariance_GKK, flat, weighted.view_as(flat).mT)
            covariance_GKK = covariance_GKK / _entries(sample, mean_GB, geometry)
        ctx.geometry, ctx.grouping, ctx.exclusive, ctx.image_step = geometry, grouping, exclusive, image_step
        ctx.save_for_backward(x, mean_GB, metric_GBB)
        return x.view_as(x), covariance_GKK

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, mean_GB, metric_GBB = ctx.saved_tensors
        grad_x, grad_covariance_GKK = grads
        with full_precision(x):
            sample = x[:: ctx.image_step]
            slope_GKK = symmetrize(grad_covariance_GKK) * (2 / _entries(sample, mean_GB, ctx.geometry))
            grad_mean_GB, grad_metric_GBB = torch.zeros_like(mean_GB), torch.zeros_like(metric_GBB)
            grad_x = own_gradient(grad_x, exclusive=ctx.exclusive)
            into = grad_x[:: ctx.image_step]
            copier = PatchCopier(ctx.geometry, ctx.grouping, taps_first=True)
            for part in portions(sample, ctx.geometry, mean_GB.dtype):
                taps = _centred_taps(sample[part], mean_GB, copier)
                mixed = (slope_GKK @ taps.flatten(2)).view(taps.shape[0], -1, taps.shape[3])  # G (K n) B
                grad_metric_GBB = torch.baddbmm(grad_metric_GBB, taps.flatten(1, 2).mT, mixed)
                share = mixed @ metric_GBB
                grad_mean_GB = grad_mean_GB - share.sum(1)
                share = share.view(taps.shape[0], taps.shape[1], -1).to(grad_x.dtype)
                copier.scatter(share, into[part])
        return grad_x, grad_mean_GB, symmetrize(grad_metric_GBB) * 0.5, None, None, None, None


def _entries(sample: Tensor, mean_GB: Tensor, geometry: PatchGeometry) -> int:
    """n B: what an entry of the tap covariance is averaged over."""
    return geometry.num_samples(sample.shape) * sample.shape[1] // len(mean_GB)
