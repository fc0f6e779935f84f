"""Mean and covariance of sampled patches by kernels that read the input where it lies.

The results are those of ``linalg.patch_statistics`` up to rounding, without the copy of the patches that it makes.
Letters: as in ``linalg/grouping.py``, P sampled positions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from netdeconv.kernels.patch_plan import ROWS, Division, plan_patches

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def supports_patch_statistics(x: Tensor, kernel_size: Sequence[int]) -> bool:
    """Whether the kernels take this input: (N, C, H, W), of at most float32, and not empty. See ``usable``, too."""
    return x.dim() == 4 and len(kernel_size) == 2 and x.dtype in _DTYPES and x.numel() > 0


def _grid(size: int, kernel: int, step: int, before: int, after: int, dilation: int) -> tuple[int, bool]:
    """Sampled positions along one axis, and whether any of their taps lies outside of the image."""
    room = size + before + after - dilation * (kernel - 1) - 1
    if room < 0:
        raise ValueError(
            f"a kernel of {kernel} taps with dilation {dilation} is larger than {size} padded by {before} and {after}"
        )
    count = room // step + 1
    return count, before > 0 or (count - 1) * step + dilation * (kernel - 1) - before >= size


def _shares(division: Division) -> tuple[int, int, int]:
    """What a program needs to know of a division."""
    return division.block_share, division.row_share, division.row_splits


@torch.library.custom_op("netdeconv::patch_statistics", mutates_args=())
def patch_statistics(
    x: Tensor,
    kernel_size: list[int],
    step: list[int],
    padding: list[int],
    dilation: list[int],
    num_matrices: int,
    num_blocks: int,
    block_channels: int,
) -> tuple[Tensor, Tensor]:
    """Mean and covariance of sampled patches.

    Args:
        x: input, with any strides.
        kernel_size: taps along each axis.
        step: distance of sampled patches.
        padding: zeros before and after, first axis first: four numbers.
        dilation: distance of the taps.
        num_matrices: G.
        num_blocks: S.
        block_channels: B.

    Shapes:
        x (N, C, H, W); mean (G, D) and covariance (G, D, D), float32.

    Returns:
        Mean and covariance; features in the order of ``linalg.gather_patches``. No derivative is registered.

    Raises:
        ValueError: when the input is not of a kind :func:`supports_patch_statistics` accepts, when the blocks do not
            make up its channels, or when the kernel is larger than the padded input.

    Numerics:
        Sums in float32, centred before the product. Products of narrower input are made as TensorFloat32: the tensor
        cores cut the 13 last bits of a term off, which leaves as many as float16 has and more than bfloat16; a product
        becomes smaller by up to one part in 512. The same input gives the same bits in every run.
    """
    if not supports_patch_statistics(x, kernel_size):
        raise ValueError(
            f"the kernel takes (N, C, H, W) of {_DTYPES} and two taps' numbers, "
            f"got {x.dtype} {tuple(x.shape)} and kernel {kernel_size}"
        )
    if num_matrices * num_blocks * block_channels != x.shape[1]:
        raise ValueError(f"{num_matrices} x {num_blocks} x {block_channels} channels, but the input has {x.shape[1]}")
    from netdeconv.kernels import patch_kernels  # on first use: imports Triton

    precision = "ieee" if x.dtype == torch.float32 else "tf32"
    (grid_h, outside_h), (grid_w, outside_w) = (
        _grid(x.shape[2 + a], kernel_size[a], step[a], padding[2 * a], padding[2 * a + 1], dilation[a]) for a in (0, 1)
    )
    samples, taps = x.shape[0] * grid_h * grid_w, math.prod(kernel_size)
    features, rows = taps * block_channels, num_blocks * samples
    geometry = (
        samples,
        grid_h * grid_w,
        grid_w,
        *x.shape[2:],
        *x.stride(),
        *step,
        padding[0],
        padding[2],
        *dilation,
        kernel_size[1],
        taps,
        num_matrices,
        num_blocks,
        block_channels,
    )
    plan = plan_patches(features, num_matrices, num_blocks, samples, precision)
    fixed = {
        "BORDER": outside_h or outside_w,
        "ROWS": ROWS,
        "COLS": plan.columns,
        "num_warps": plan.num_warps,
        "num_stages": 2,
        "enable_fp_fusion": True,
    }
    with torch.cuda.device_of(x):
        sums = x.new_empty((plan.sums.splits, num_matrices, plan.tiles * plan.columns), dtype=torch.float32)
        patch_kernels.column_sums[(plan.sums.splits * num_matrices * plan.tiles,)](
            x, sums, *geometry, *_shares(plan.sums), plan.tiles, **fixed
        )
        mean = sums.sum(0)[:, :features] / rows
        shape = (plan.products.splits, num_matrices * plan.pairs, plan.columns, plan.columns)
        products = x.new_empty(shape, dtype=torch.float32)
        patch_kernels.tile_products[(shape[0] * shape[1],)](
            x,
            mean,
            products,
            *geometry,
            *_shares(plan.products),
            plan.tiles,
            PRECISION=precision,
            **fixed,
        )
        covariance = x.new_empty((num_matrices, features, features), dtype=torch.float32)
        patch_kernels.mirror[(shape[1],)](
            products.sum(0),
            covariance,
            features,
            plan.tiles,
            float(rows),
            COLS=plan.columns,
            num_warps=plan.num_warps,
            enable_fp_fusion=True,
        )
    return mean, covariance


@patch_statistics.register_fake
def _(x: Tensor, kernel_size: list[int], *others: Any) -> tuple[Tensor, Tensor]:
    num_matrices, _, block_channels = others[-3:]
    features = block_channels * math.prod(kernel_size)
    mean = x.new_empty((num_matrices, features), dtype=torch.float32)
    return mean, mean.new_empty((num_matrices, features, features))
