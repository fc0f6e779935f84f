r"""Statistics of an input as pure functions: means and whitening matrices of a batch, whole or only rescaled.

Letters: as in linalg/grouping.py.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor

from netdeconv.linalg import (
    Grouping,
    NewtonSchulz,
    PatchGeometry,
    inverse_sqrt,
    patch_scale,
    patch_statistics,
    tap_covariance,
)
from netdeconv.linalg.precision import full_precision, statistics_dtype
from netdeconv.nn.products import product_dtype
from netdeconv.nn.ranks import Ranks
from netdeconv.nn.whitening import Whitening

# of a batch, in a sample: positions of one image resemble each other
_FEWEST_ENTRIES = 32
# of each tap: a tap matrix has few entries and is an average over all channels
_ROWS_PER_TAP = 1024


class Statistics(NamedTuple):
    """What a layer knows of its input.

    Attributes:
        mean: (G, D).
        matrix: whitening matrices (G, D, D).
        taps: whitening matrices of the kernel taps (G, K, K), separable structure only.
        scale: mean variance of the features (G,), which a later step rescales the matrix by; of batches only.
        factor: by which the matrices still have to be multiplied (G,); None: one.
    """

    mean: Tensor
    matrix: Tensor
    taps: Tensor | None = None
    scale: Tensor | None = None
    factor: Tensor | None = None


def _regularized_root(covariance: Tensor, settings: Whitening) -> Tensor:
    eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    return inverse_sqrt(covariance + settings.eps * eye, method=NewtonSchulz(settings.num_iterations))


def image_step(shape: torch.Size, features: PatchGeometry, grouping: Grouping, rows_per_feature: int | None) -> int:
    """Which entries of a batch are sampled, every n-th: as few as leave enough rows a feature, and 32 entries."""
    if rows_per_feature is None:
        return 1
    rows = features.num_samples(shape) * grouping.num_blocks
    enough = rows_per_feature * grouping.block_channels * features.num_taps
    return max(1, min(rows // enough, shape[0] // _FEWEST_ENTRIES))


def batch_covariance(
    x: Tensor,
    features: PatchGeometry,
    grouping: Grouping,
    settings: Whitening,
    *,
    centred: bool = True,
    exclusive: bool = False,
    ranks: Ranks | None = None,
    shift: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and covariance of a batch, of all ranks where there are several.

    Args:
        x: input (N, C, ...).
        features: of one matrix.
        grouping: the blocks.
        settings: sampling.
        centred: as in :func:`batch_statistics`, and the others likewise.
        exclusive: likewise.
        ranks: likewise.
        shift: likewise.

    Returns:
        ``x``, to be used in place of the input, mean (G, D) and covariance (G, D, D), in float32 or wider.
    """
    step = image_step(x.shape, features, grouping, settings.rows_per_feature)
    g, d = grouping.num_matrices, grouping.block_channels * features.num_taps
    if len(x):
        wide = statistics_dtype(x.dtype)
        factors = product_dtype(x.dtype, wide, settings.num_iterations) if centred else wide
        x, mean, covariance = patch_statistics(
            x, features, grouping, centred=centred, exclusive=exclusive, image_step=step, factors=factors
        )
    else:  # other ranks have more
        mean, covariance = _nothing(x, g, d), _nothing(x, g, d, d)
    if ranks is not None and shift is not None:
        rows = _rows(x, features, grouping, step)
        mean, covariance = ranks.pool(rows, mean, covariance, shift.clone())
    return x, mean, covariance


def batch_statistics(
    x: Tensor,
    geometry: PatchGeometry,
    pixels: PatchGeometry,
    grouping: Grouping,
    settings: Whitening,
    *,
    centred: bool = True,
    exclusive: bool = False,
    ranks: Ranks | None = None,
    shift: Tensor | None = None,
) -> tuple[Tensor, Statistics]:
    """Mean and whitening matrices of a batch.

    Args:
        x: input (N, C, ...).
        geometry: the patches of structure "full", and the taps of "separable".
        pixels: the pixels of structures "channel" and "separable".
        grouping: the blocks.
        settings: structure, eps and iterations.
        centred: see :func:`netdeconv.linalg.patch_statistics`.
        exclusive: likewise.
        ranks: whose batches count too.
        shift: of the features (G, D), near their mean and the same on all ranks; needed with ``ranks``.

    Returns:
        ``x``, to be used in place of the input, and its statistics, in float32 or wider.
    """
    features = geometry if settings.structure == "full" else pixels
    x, mean, covariance = batch_covariance(
        x, features, grouping, settings, centred=centred, exclusive=exclusive, ranks=ranks, shift=shift
    )
    g = grouping.num_matrices
    matrix, taps = _regularized_root(covariance, settings), None
    scale = covariance.detach().diagonal(dim1=-2, dim2=-1).mean(-1)
    if settings.structure == "separable" and geometry.num_taps > 1:
        with full_precision(x):
            metric = matrix @ matrix
        each = dataclasses.replace(grouping, num_blocks=grouping.num_blocks * grouping.block_channels, block_channels=1)
        step = image_step(x.shape, geometry, each, settings.rows_per_feature or _ROWS_PER_TAP)
        if len(x):
            x, tap_products = tap_covariance(x, mean, metric, geometry, grouping, exclusive=exclusive, image_step=step)
        else:
            tap_products = _nothing(x, g, geometry.num_taps, geometry.num_taps)
        if ranks is not None:
            tap_products = ranks.pool_average(_rows(x, geometry, grouping, step), tap_products)
        taps = _regularized_root(tap_products, settings)
    return x, Statistics(mean, matrix, taps, scale)


def rescaled_statistics(
    x: Tensor,
    held: Statistics,
    features: PatchGeometry,
    grouping: Grouping,
    settings: Whitening,
    *,
    exclusive: bool = False,
    ranks: Ranks | None = None,
    shift: Tensor | None = None,
) -> tuple[Tensor, Statistics]:
    r"""Mean of a batch, and matrices held from an earlier one, rescaled to the batch's variance.

    :math:`D = D_{held} \sqrt{(s_{held} + \epsilon) / (s + \epsilon)}`, s the mean variance of the features. Gradients
    flow through the mean and the scale.

    Args:
        x: input (N, C, ...).
        held: matrices and scale of an earlier batch, constants.
        features: of one matrix: patches for structure "full", else pixels.
        grouping: the blocks.
        settings: eps and sampling.
        exclusive: as in :func:`batch_statistics`.
        ranks: likewise.
        shift: likewise.

    Returns:
        ``x``, to be used in place of the input, and its statistics, in float32 or wider.
    """
    assert held.scale is not None
    step = image_step(x.shape, features, grouping, settings.rows_per_feature)
    if len(x):
        x, mean, scale = patch_scale(x, features, grouping, exclusive=exclusive, image_step=step)
    else:
        g, d = grouping.num_matrices, grouping.block_channels * features.num_taps
        mean, scale = _nothing(x, g, d), _nothing(x, g)
    if ranks is not None and shift is not None:
        rows = _rows(x, features, grouping, step)
        mean, scale = ranks.pool_scale(rows, mean, scale, shift.clone())
    factor = ((held.scale + settings.eps) / (scale + settings.eps)).sqrt()
    return x, held._replace(mean=mean, scale=scale, factor=factor)


def _rows(x: Tensor, features: PatchGeometry, grouping: Grouping, step: int) -> int:
    """Sampled rows of this rank."""
    return features.num_samples(x[::step].shape) * grouping.num_blocks


def _nothing(x: Tensor, *shape: int) -> Tensor:
    """The statistics of an empty batch: zeros, but a function of it, so that backward takes part in the all-reduce."""
    return x.sum().to(statistics_dtype(x.dtype)).expand(shape)
