"""What can be read off one batch about a whitened layer.

Letters: G matrices, D features of one, n sampled rows, B channels of a block, S blocks, C channels.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from netdeconv.nn import InputStatistics

# Below this share of the largest eigenvalue, one of float32 is rounding.
_ROUNDING = 1e-7
# A channel whose deviation is smaller than this share of its mean says nothing.
_CONSTANT = 1e-5
_TINY = 1e-30
# Larger matrices are read in float32: half the time, and enough for the ratios that are shown.
_DOUBLE = 128
_POWER_STEPS = 12


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerHealth:
    """One whitened layer on one batch; of several matrices the worst.

    Args:
        rows: sampled rows of a matrix.
        features: D, of a matrix.
        condition_before: largest over smallest eigenvalue of the covariance, at most 1e7.
        condition_after: of the whitened covariance.
        rank_before: effective rank, the squared sum of the eigenvalues over the sum of their squares, of D.
        rank_after: of the whitened covariance; D is perfectly white.
        mean_distance: of the running mean from the batch's, in standard deviations of a feature.
        whitening_distance: of the covariance whitened by the running matrix from that whitened by the batch's,
            relative.
        gain: largest gain of the whitening matrix.
        relative_gain: the same for an input of variance 1.
        variance: mean of the features.
        eps: of the settings.
        channels: of the input.
        dead_channels: channels that are zero in the whole sample.
        constant_channels: channels with another, constant value.
        is_finite: whether the input has neither NaN nor infinity; without, the numbers are not to be used.
        time_share: of the statistics' forward in the time of a training step; None before the second reading.
    """

    rows: int
    features: int
    condition_before: float = math.nan
    condition_after: float = math.nan
    rank_before: float = math.nan
    rank_after: float = math.nan
    mean_distance: float = math.nan
    whitening_distance: float = math.nan
    gain: float = math.nan
    relative_gain: float = math.nan
    variance: float = math.nan
    eps: float = 0.0
    channels: int = 0
    dead_channels: int = 0
    constant_channels: int = 0
    is_finite: bool = True
    time_share: float | None = None

    @property
    def rows_per_feature(self) -> float:
        """Sampled rows for each feature of a matrix."""
        return self.rows / self.features


@torch.no_grad()
def measure(statistics: InputStatistics, x: Tensor, mean_GD: Tensor, matrix_GDD: Tensor) -> LayerHealth:
    """Measure a layer on one batch.

    Args:
        statistics: of the layer, after the batch.
        x: input (N, C, ...) as the layer computes with it.
        mean_GD: that the layer used.
        matrix_GDD: whitening matrices that the layer used.

    Shapes:
        x (N, C, ...), mean (G, D), matrix (G, D, D).

    Numerics:
        The covariance is made in float32 or wider where the input is; eigenvalues in float64, beyond 128 features in
        float32, on the processor; the gain by 12 steps of the power iteration with the matrix and its transpose, from
        below.
    """
    sampler, settings = statistics.sampler, statistics.whitening
    rows, features = sampler.num_rows(x.shape), sampler.matrix_size
    known: dict[str, Any] = {"rows": rows, "features": features, "eps": settings.eps, "channels": x.shape[1]}
    if rows < 2:
        return LayerHealth(**known)
    _, batch_mean, covariance = (part.detach() for part in sampler.statistics(x, exclusive=False))
    covariance, batch_mean, mean, matrix, running_mean, running = (
        part.to(torch.float64 if features <= _DOUBLE else torch.float32).cpu()
        for part in (
            covariance,
            batch_mean,
            mean_GD,
            matrix_GDD,
            statistics.running_mean,
            statistics.running_whitening,
        )
    )
    if not bool(torch.isfinite(covariance).all() & torch.isfinite(matrix).all()):
        return LayerHealth(**known, is_finite=False)
    if settings.freeze is not None:  # a frozen layer uses the running statistics: compare them with the batch's own
        mean = batch_mean
        matrix = statistics.root(covariance + settings.eps * torch.eye(features, dtype=covariance.dtype))
    white = matrix @ covariance @ matrix.mT
    before, after = torch.linalg.eigvalsh(torch.stack([covariance, white]))
    gains = _largest_gain(matrix)
    distance = torch.linalg.matrix_norm(running @ covariance @ running.mT - white)
    distance = distance / torch.linalg.matrix_norm(white).clamp_min(_TINY)
    variance = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)
    mean_distance = (running_mean - mean).square().mean(-1).sqrt() / variance.sqrt().clamp_min(_TINY)
    dead, constant = _silent_channels(x[:: max(1, len(x) // 32)])
    return LayerHealth(
        **known,
        condition_before=float(_condition(before).max()),
        condition_after=float(_condition(after).max()),
        rank_before=float(effective_rank(before).min()),
        rank_after=float(effective_rank(after).min()),
        mean_distance=float(mean_distance.max()),
        whitening_distance=float(distance.max()),
        gain=float(gains.max()),
        relative_gain=float((gains * variance.sqrt()).max()),
        variance=float(variance.min()),
        dead_channels=dead,
        constant_channels=constant,
    )


def effective_rank(eigenvalues: Tensor) -> Tensor:
    """Directions that share the variance: squared sum over sum of squares, (..., D) to (...); 0 for no variance."""
    values = eigenvalues.clamp_min(0)
    squares = values.square().sum(-1)
    return torch.where(squares > 0, values.sum(-1).square() / squares.clamp_min(_TINY), 0.0)


def _largest_gain(matrix: Tensor) -> Tensor:
    """Largest singular value of matrices, (G, D, D) to (G,)."""
    x = matrix.diagonal(dim1=-2, dim2=-1).unsqueeze(-1).clone()  # no random numbers: training's must stay its own
    x = x + matrix.sum(-1, keepdim=True).abs() / matrix.shape[-1]
    for _ in range(_POWER_STEPS):
        x = x / torch.linalg.vector_norm(x, dim=-2, keepdim=True).clamp_min(_TINY)
        image = matrix @ x
        x = matrix.mT @ image
    largest: Tensor = torch.linalg.vector_norm(image, dim=-2).squeeze(-1)
    return largest


def _condition(eigenvalues: Tensor) -> Tensor:
    largest = eigenvalues.amax(-1).clamp_min(_TINY)
    return largest / torch.maximum(eigenvalues.amin(-1), largest * _ROUNDING)


def _silent_channels(x: Tensor) -> tuple[int, int]:
    """Channels that are zero, and that have another constant value, in a sample (N, C, ...)."""
    values = x.detach().transpose(0, 1).flatten(1).float()
    largest, spread = values.abs().amax(1), values.amax(1) - values.amin(1)
    dead = largest == 0
    constant = ~dead & (spread <= _CONSTANT * largest)
    return int(dead.sum()), int(constant.sum())
