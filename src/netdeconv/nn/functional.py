r"""Whitening as pure functions: statistics of an input, and weights multiplied by whitening matrices.

Letters: as in linalg/grouping.py; O outputs per group.
The data is never transformed: (x - mean) D w + b is computed as x (D w) + (b - mean D w).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from netdeconv.linalg import (
    Grouping,
    NewtonSchulz,
    PatchGeometry,
    inverse_sqrt,
    patch_statistics,
    tap_covariance,
)
from netdeconv.linalg.precision import full_precision
from netdeconv.nn.whitening import Whitening


class Statistics(NamedTuple):
    """What a layer knows of its input: mean (G, D), whitening matrix (G, D, D), tap matrix (G, K, K) or None."""

    mean: Tensor
    matrix: Tensor
    taps: Tensor | None = None


def _regularized_root(covariance: Tensor, settings: Whitening) -> Tensor:
    eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    return inverse_sqrt(covariance + settings.eps * eye, method=NewtonSchulz(settings.num_iterations))


def batch_statistics(
    x: Tensor,
    geometry: PatchGeometry,
    pixels: PatchGeometry,
    grouping: Grouping,
    settings: Whitening,
    *,
    centred: bool = True,
    exclusive: bool = False,
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

    Returns:
        ``x``, to be used in place of the input, and its statistics, in float32 or wider.
    """
    full = settings.structure == "full"
    x, mean, covariance = patch_statistics(
        x, geometry if full else pixels, grouping, centred=centred, exclusive=exclusive
    )
    matrix = _regularized_root(covariance, settings)
    if settings.structure != "separable" or geometry.num_taps == 1:
        return x, Statistics(mean, matrix)
    with full_precision(x):
        metric = matrix @ matrix
    x, tap_products = tap_covariance(x, mean, metric, geometry, grouping, exclusive=exclusive)
    return x, Statistics(mean, matrix, _regularized_root(tap_products, settings))


def whiten_weight(weight: Tensor, statistics: Statistics, grouping: Grouping) -> tuple[Tensor, Tensor]:
    """Multiply a layer's weight by its whitening matrices.

    Shapes:
        weight (G O, C/G, K); results (G O, C/G, K) and the response to the mean (G O,).

    Returns:
        ``D w`` in the statistics' dtype, and ``mean D w``, which the layer's bias has to lose.
    """
    with full_precision(weight):
        mean, matrix, taps = statistics
        g, k, d = grouping.num_matrices, weight.shape[2], matrix.shape[-1]
        blocks = _to_blocks(weight.to(matrix.dtype), grouping, whole_patches=d == k * grouping.block_channels)
        shape = blocks.shape
        if taps is not None:  # (G, O, S, K, B): the tap factor first, it is symmetric
            blocks = taps[:, None, None] @ blocks
        blocks = blocks.reshape(g, -1, d) @ matrix
        response = (blocks @ mean.unsqueeze(-1)).reshape(weight.shape[0], -1).sum(1)
        return _from_blocks(blocks.reshape(shape), grouping, weight.shape), response


def unwhiten_weight(weight: Tensor, statistics: Statistics, grouping: Grouping) -> tuple[Tensor, Tensor]:
    """The inverse of :func:`whiten_weight`: a weight whose product with D is ``weight``, and the mean's response."""
    inverse = Statistics(
        statistics.mean, _inverse(statistics.matrix), None if statistics.taps is None else _inverse(statistics.taps)
    )
    own, _ = whiten_weight(weight, inverse, grouping)
    return own, whiten_weight(own, statistics, grouping)[1]


def _inverse(matrix: Tensor) -> Tensor:
    inverse: Tensor = torch.linalg.inv(matrix)
    return inverse


def _to_blocks(weight: Tensor, grouping: Grouping, *, whole_patches: bool) -> Tensor:
    """(G O, C/G, K) to blocks whose last dimensions multiply D: (G, O, S, D), or (G, O, S, K, B)."""
    g = grouping.num_matrices
    grouped = weight.unflatten(0, (g, -1))
    if grouping.interleaved and whole_patches and weight.shape[2] > 1:
        return grouping.split_patches(grouped)
    within = Grouping(1, grouping.num_blocks, grouping.block_channels, grouping.interleaved)
    split = within.split(grouped, 2).squeeze(2)  # G O S B K
    return split.transpose(-1, -2)


def _from_blocks(blocks: Tensor, grouping: Grouping, shape: torch.Size) -> Tensor:
    """The inverse of :func:`_to_blocks`, to the weight's ``shape``."""
    if blocks.dim() == 4:
        return grouping.merge_patches(blocks, shape[2]).reshape(shape)
    within = Grouping(1, grouping.num_blocks, grouping.block_channels, grouping.interleaved)
    return within.merge(blocks.transpose(-1, -2).unsqueeze(2), 2).reshape(shape)
