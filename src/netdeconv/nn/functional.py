r"""Statistics of an input as pure functions: means and whitening matrices of a batch, whole or only rescaled.

Letters: as in linalg/grouping.py.
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
    patch_scale,
    patch_statistics,
    tap_covariance,
)
from netdeconv.linalg.precision import full_precision
from netdeconv.nn.whitening import Whitening


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
    matrix, taps = _regularized_root(covariance, settings), None
    scale = covariance.detach().diagonal(dim1=-2, dim2=-1).mean(-1)
    if settings.structure == "separable" and geometry.num_taps > 1:
        with full_precision(x):
            metric = matrix @ matrix
        x, tap_products = tap_covariance(x, mean, metric, geometry, grouping, exclusive=exclusive)
        taps = _regularized_root(tap_products, settings)
    return x, Statistics(mean, matrix, taps, scale)


def rescaled_statistics(
    x: Tensor, held: Statistics, geometry: PatchGeometry, grouping: Grouping, eps: float, *, exclusive: bool = False
) -> tuple[Tensor, Statistics]:
    r"""Mean of a batch, and matrices held from an earlier one, rescaled to the batch's variance.

    :math:`D = D_{held} \sqrt{(s_{held} + \epsilon) / (s + \epsilon)}`, s the mean variance of the features. Gradients
    flow through the mean and the scale: without them training diverges (facts of this project, section 1).

    Args:
        x: input (N, C, ...).
        held: matrices and scale of an earlier batch, constants.
        geometry: the features of one matrix: patches for structure "full", else pixels.
        grouping: the blocks.
        eps: as added to the covariances.
        exclusive: as in :func:`batch_statistics`.

    Returns:
        ``x``, to be used in place of the input, and its statistics, in float32 or wider.
    """
    assert held.scale is not None
    x, mean, scale = patch_scale(x, geometry, grouping, exclusive=exclusive)
    factor = ((held.scale + eps) / (scale + eps)).sqrt()
    return x, held._replace(mean=mean, scale=scale, factor=factor)
