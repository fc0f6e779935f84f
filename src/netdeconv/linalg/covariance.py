r"""Mean and covariance of sampled patches, with hand-written gradients.

Letters: as in patches.py; n = S P rows of a matrix.

The function also returns the input itself. The convolution reads that alias, so in backward the gradient which the
convolution produced arrives here, and the statistics' share is added at the sampled positions: no zero-filled gradient,
no second pass over the activation, and the patches are read again instead of kept. ``exclusive`` adds in place.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from netdeconv import kernels
from netdeconv.linalg.geometry import PatchGeometry
from netdeconv.linalg.grouping import Grouping
from netdeconv.linalg.patches import PatchCopier, gather_patches, portions
from netdeconv.linalg.precision import Function, either, full_precision, may_write, statistics_dtype, symmetrize
from netdeconv.linalg.symmetric import add_gram, complete

# entries of a batch whose mean is near enough to the batch's to centre at
_FEW = 8


def patch_statistics(
    x: Tensor,
    geometry: PatchGeometry,
    grouping: Grouping,
    *,
    exclusive: bool = False,
    image_step: int = 1,
    factors: torch.dtype | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Mean and covariance of sampled patches.

    :math:`\mu = \frac1n \sum x`, :math:`\Sigma = \frac1n \sum (x - \mu)^T (x - \mu)`, centred before the product.

    Args:
        x: input of any floating dtype; statistics are float32 or wider.
        exclusive: the caller promises that the returned ``x`` is read by one operation alone, whose backward makes
            the gradient of ``x`` anew (a convolution, a linear layer); backward then adds to it in place.
        image_step: sample every n-th entry of the batch.
        factors: dtype that centred rows are rounded to before they are multiplied; None: the statistics'.

    Shapes:
        x (N, C, ...); results x itself, mean (G, D), covariance (G, D, D).

    Returns:
        ``x`` (use it in place of the input: its gradient then flows through here), mean, covariance.

    Raises:
        ValueError: when the kernel is larger than the input.

    Numerics:
        Both are sums over n rows in float32; the error of an entry grows with sqrt(n) eps at most. The gradient's
        product of rows and covariance gradient is made in bfloat16 for bfloat16 input, whose gradient is rounded so.
        Factors do not round the mean.
        With bfloat16 ``factors`` the products of each portion of the batch are rounded to bfloat16 and summed in
        float32: an entry is off by some thousandths of the product of two standard deviations, less than by the
        choice of the batch (``benchmarks.precision``). On processors only, where such products are cheaper.
    """
    same, mean_GD, covariance_GDD = either(_PatchStatistics, _TraceableStatistics).apply(
        x, geometry, grouping, exclusive, image_step, factors
    )
    return same, mean_GD, covariance_GDD


class _TraceableStatistics(Function):
    """The statistics; for several models at once (``vmap``) their matrices stand side by side."""

    @staticmethod
    def forward(
        x: Tensor,
        geometry: PatchGeometry,
        grouping: Grouping,
        exclusive: bool,
        image_step: int,
        factors: torch.dtype | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        with full_precision(x):
            sample = x[::image_step]
            supported = kernels.supports_patch_statistics(sample, geometry.kernel_size) and not grouping.padding
            if supported and kernels.usable(sample):
                mean_GD, covariance_GDD = _by_kernel(sample, geometry, grouping)
            else:
                mean_GD, covariance_GDD = _mean_and_covariance(sample, geometry, grouping, factors)
        # Not view_as, which gives the only entry of a batch another stride: for channels_last ones torch 2.14's grouped
        # convolutions then have wrong gradients.
        return x[...], mean_GD, covariance_GDD

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, ctx.geometry, ctx.grouping, ctx.exclusive, ctx.image_step, _ = inputs
        ctx.save_for_backward(x, output[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, mean_GD = ctx.saved_tensors
        grad_x, grad_mean_GD, grad_covariance_GDD = grads
        with full_precision(x):
            sample = x[:: ctx.image_step]
            rows = ctx.geometry.num_samples(sample.shape) * ctx.grouping.num_blocks
            slope_GDD = symmetrize(grad_covariance_GDD) * (2 / rows)
            offset_G1D = grad_mean_GD.unsqueeze(1) / rows
            # Rows are centred before they are rounded: (x - mean) S as x S - mean S, with S rounded in one of them,
            # leaves a part of the mean in every row; the loss is then no longer indifferent to shifts, and diverges.
            # The mean itself is rounded as x is; what that leaves of it goes into the offset.
            dtype = x.dtype if x.dtype == torch.bfloat16 else mean_GD.dtype
            centre_G1D = mean_GD.unsqueeze(1).to(dtype)
            if dtype != mean_GD.dtype:
                offset_G1D = offset_G1D - torch.bmm(mean_GD.unsqueeze(1) - centre_G1D, slope_GDD)
            slope_GDD, offset_G1D = slope_GDD.to(dtype), offset_G1D.to(dtype)
            # a gradient of its own where others read it or where what is written is recorded
            grad_x = grad_x if ctx.exclusive and may_write() else torch.empty_like(x).copy_(grad_x)
            into = grad_x[:: ctx.image_step]
            copier = PatchCopier(ctx.geometry, ctx.grouping)
            for part in portions(sample, ctx.geometry, dtype):
                patches = _centred(copier.gather(sample[part], x.dtype), centre_G1D, dtype, copier)
                share = torch.baddbmm(offset_G1D, patches, slope_GDD).to(grad_x.dtype)
                copier.scatter(share, into[part])
        return grad_x, None, None, None, None, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        x: Tensor,
        geometry: PatchGeometry,
        grouping: Grouping,
        exclusive: bool,
        image_step: int,
        factors: torch.dtype | None,
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        del exclusive
        assert in_dims[0] is not None
        models = info.batch_size
        wide = dataclasses.replace(grouping, num_matrices=models * grouping.num_matrices)
        side_by_side = x.movedim(in_dims[0], 1).flatten(1, 2)
        results = _PatchStatistics.apply(side_by_side, geometry, wide, False, image_step, factors)
        return tuple(t.unflatten(d, (models, -1)) for t, d in zip(results, (1, 0, 0), strict=True)), (1, 0, 0)


class _PatchStatistics(_TraceableStatistics):
    """With a forward derivative."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _TraceableStatistics.setup_context(ctx, inputs, output)
        ctx.save_for_forward(inputs[0], output[1])

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> tuple[Tensor, Tensor, Tensor]:
        x, mean_GD = ctx.saved_tensors
        with full_precision(x):
            patches, moved = (
                gather_patches(t[:: ctx.image_step], ctx.geometry, ctx.grouping, dtype=mean_GD.dtype)
                for t in (x, tangent)
            )
            products_GDD = torch.bmm((patches - mean_GD.unsqueeze(1)).mT, moved)
            return tangent[...], moved.mean(1), symmetrize(products_GDD) * (2 / patches.shape[1])


def _mean_and_covariance(
    sample: Tensor, geometry: PatchGeometry, grouping: Grouping, factors: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """In portions, centred at the mean of a few entries, which is then corrected."""
    dtype = statistics_dtype(sample.dtype)
    if factors is None or sample.device.type != "cpu":
        factors = dtype
    parts = portions(sample, geometry, factors)
    copier = PatchCopier(geometry, grouping)
    one = len(parts) == 1
    patches = copier.gather(sample if one else sample[:: -(-len(sample) // _FEW)], sample.dtype)
    mean_GD = patches.mean(1, dtype=dtype)
    centre_G1D = mean_GD.unsqueeze(1).to(factors)
    sum_GD, count = torch.zeros_like(mean_GD), 0
    products_GDD = mean_GD.new_zeros((*mean_GD.shape, mean_GD.shape[1]))
    for part in parts:
        patches = patches if one else copier.gather(sample[part], sample.dtype)
        rows = _centred(patches, centre_G1D, factors, copier)
        add_gram(products_GDD, rows)
        sum_GD += rows.sum(1) if factors == dtype else _sum_about(patches, centre_G1D, dtype)
        count += rows.shape[1]
    rest_GD, covariance_GDD = sum_GD / count, complete(products_GDD) / count
    return centre_G1D.squeeze(1) + rest_GD, covariance_GDD - rest_GD.unsqueeze(2) * rest_GD.unsqueeze(1)


def _sum_about(patches: Tensor, centre_G1D: Tensor, dtype: torch.dtype) -> Tensor:
    """(G, D), of patches less a centre, not of rounded rows: all rows of a binade are rounded to the same side."""
    return (patches.mean(1, dtype=dtype) - centre_G1D.squeeze(1)) * patches.shape[1]


def _centred(patches: Tensor, centre_G1D: Tensor, dtype: torch.dtype, copier: PatchCopier) -> Tensor:
    """Patches in another dtype, less a centre in it; in the copier's memory where nothing is recorded."""
    if not may_write():
        centred: Tensor = patches.to(dtype) - centre_G1D
        return centred
    rows = copier.memory("rows", tuple(patches.shape), patches, dtype)
    if dtype == patches.dtype:
        return torch.sub(patches, centre_G1D, out=rows)
    rows.copy_(patches)  # subtracting across dtypes would allocate the copy
    return rows.sub_(centre_G1D)


def _by_kernel(sample: Tensor, geometry: PatchGeometry, grouping: Grouping) -> tuple[Tensor, Tensor]:
    """The same without a copy of the patches, on a GPU."""
    mean_GD, covariance_GDD = kernels.patch_statistics(
        sample,
        geometry.kernel_size,
        geometry.step,
        [side for pair in geometry.padding for side in pair],
        geometry.dilation,
        grouping.num_matrices,
        grouping.num_blocks,
        grouping.block_channels,
    )
    return mean_GD, covariance_GDD
