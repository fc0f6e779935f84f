"""Which rows of an input a layer looks at: patches, blocks, and how many of them are left out.

Letters: as in linalg/grouping.py.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from netdeconv.linalg import Grouping, NewtonSchulz, PatchGeometry, gather_patches, patch_statistics
from netdeconv.linalg.precision import statistics_dtype
from netdeconv.nn.whitening import Whitening

logger = logging.getLogger("netdeconv.nn")

# Of a patch: the root of a matrix of so many features takes a second of a core already, and twice as many eight times.
_MOST_FEATURES = 1024
# Of a batch, in a sample: positions of one image resemble each other. Measured: of 16 images, 2x2 maps and 40 channels,
# outputs of the 8 that a sample of 8 left out grew with every layer, to six times the others'.
_FEWEST_ENTRIES = 32
# sampled positions along an axis: a 2x2 map sampled at one corner says nothing of the others
_FEWEST_POSITIONS = 4
# Beyond this many steps D amplifies weak directions so much that neither it nor the covariance is rounded.
_MAX_ITERATIONS_IN_BFLOAT16 = 7


def bounded(settings: Whitening, geometry: PatchGeometry, channels: int, layer: str) -> Whitening:
    """Settings whose patches have at most 1024 features: smaller blocks, or pixels where not even two channels fit.

    Args:
        settings: as they were asked for.
        geometry: of the layer's patches.
        channels: of a group.
        layer: its name in the log, where the settings change.
    """
    taps, block = geometry.num_taps, min(channels, settings.group_size)
    if settings.structure == "channel" or taps == 1 or block * taps <= _MOST_FEATURES:
        return settings
    fit = _MOST_FEATURES // taps
    change: dict[str, Any] = {"structure": "channel"} if fit < 2 else {"group_size": fit}
    logger.info("%s: patches of %d x %d features are too many for a matrix, so %s", layer, block, taps, change)
    return dataclasses.replace(settings, **change)


@dataclasses.dataclass(frozen=True)
class Sampler:
    """Rows of an input, for its statistics.

    Args:
        geometry: patches of one matrix at every output position; its ``step`` is the layer's stride.
        grouping: the blocks.
        whitening: sampling stride and rows a feature.
    """

    geometry: PatchGeometry
    grouping: Grouping
    whitening: Whitening

    @property
    def matrix_size(self) -> int:
        """D."""
        return self.grouping.block_channels * self.geometry.num_taps

    def plan(self, shape: torch.Size) -> tuple[PatchGeometry, int]:
        """Where patches of an input (N, C, ...) are taken, and of which entries of the batch: every n-th."""
        geometry, wanted = self.geometry.along(len(shape) - 2), self.whitening.sampling_stride
        counts = geometry.grid(tuple(shape[2:]))
        strides = [max(1, min(wanted, -(-n // _FEWEST_POSITIONS))) for n in counts]
        sampled = _strided(geometry, strides)
        rows, enough = sampled.num_samples(shape), self.whitening.rows_per_feature
        if enough is not None:
            step = rows // (enough * self.matrix_size)
        else:  # where a small map is sampled more densely, so many fewer images do
            step = rows // max(1, _strided(geometry, [wanted] * len(counts)).num_samples(shape))
        return sampled, max(1, min(step, shape[0] // _FEWEST_ENTRIES))

    def num_rows(self, shape: torch.Size) -> int:
        """Rows that a matrix is estimated from, for an input (N, C, ...)."""
        geometry, step = self.plan(shape)
        entries = torch.Size((-(-shape[0] // step), *shape[1:]))
        return geometry.num_samples(entries) * self.grouping.num_blocks

    def rows(self, x: Tensor) -> Tensor:
        """The sampled rows themselves, (G, n, D) of an input (N, C, ...): for figures, reports and tests."""
        geometry, step = self.plan(x.shape)
        return gather_patches(x[::step], geometry, self.grouping, dtype=statistics_dtype(x.dtype))

    def statistics(self, x: Tensor, *, exclusive: bool) -> tuple[Tensor, Tensor, Tensor]:
        """``x``, to be used in place of the input, mean (G, D) and covariance (G, D, D), in float32 or wider.

        Args:
            x: input (N, C, ...); an empty one has zeros for statistics.
            exclusive: see :func:`netdeconv.linalg.patch_statistics`.
        """
        wide = statistics_dtype(x.dtype)
        if not len(x):  # other ranks have more; zeros that depend on x, so that backward takes part in the all-reduce
            nothing, g, d = x.sum().to(wide), self.grouping.num_matrices, self.matrix_size
            return x, nothing.expand(g, d), nothing.expand(g, d, d)
        geometry, step = self.plan(x.shape)
        factors = product_dtype(x.dtype, wide, self.whitening)
        return patch_statistics(x, geometry, self.grouping, exclusive=exclusive, image_step=step, factors=factors)


def _strided(geometry: PatchGeometry, strides: Sequence[int]) -> PatchGeometry:
    """Patches at every n-th position of each axis."""
    steps = (step * stride for step, stride in zip(geometry.step, strides, strict=True))
    return dataclasses.replace(geometry, step=tuple(steps))


def product_dtype(dtype: torch.dtype, statistics: torch.dtype, whitening: Whitening) -> torch.dtype:
    """Where covariances and D w are computed, for a layer that computes in ``dtype``.

    bfloat16 products accumulate in float32; the rounding of D is then of the size of the rounding of the input.
    Half precision is left out for its range.
    """
    root = whitening.method
    if (
        dtype == torch.bfloat16
        and isinstance(root, NewtonSchulz)
        and root.num_iterations <= _MAX_ITERATIONS_IN_BFLOAT16
    ):
        return dtype
    return torch.promote_types(dtype, statistics)
