"""The settings of a whitened layer: one frozen, validated dataclass."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

Structure = Literal["full", "channel", "separable"]
Layout = Literal["blocks", "interleaved", "reference"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Freeze:
    """Schedule that holds a layer's whitening constant most of the time.

    Of every ``period`` training steps the first ``active`` compute statistics, with their
    gradient; the others use the running statistics as constants.

    Args:
        active: training steps with batch statistics at the start of each period, at least 1.
        period: training steps in one period, more than ``active``.

    Raises:
        ValueError: when the numbers are out of range.

    Source: the published implementation freezes its first layer with 100 of 1000 steps.
    """

    active: int = 100
    period: int = 1000

    def __post_init__(self) -> None:
        if not 1 <= self.active < self.period:
            raise ValueError(f"Freeze needs 1 <= active < period, got active={self.active}, period={self.period}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Whitening:
    """How a layer whitens its input.

    Args:
        structure: what one whitening matrix covers. ``"full"``: a whole patch, channels times
            kernel taps. ``"channel"``: the channels of one pixel; all taps share the matrix.
            ``"separable"``: a channel matrix Kronecker a tap matrix.
        group_size: channels (features for linear layers) that share one block. A layer uses the
            largest divisor of its channels (per convolution group) that is not above it; with
            ``layout="reference"`` the greatest common divisor, as published.
        num_iterations: coupled Newton-Schulz steps. Few steps whiten partially, which regularises.
        eps: added to the covariance's diagonal, in squared units of the input.
        sampling_stride: take a patch at every n-th output position of each spatial axis.
        rows_per_feature: sampled rows that are enough for each feature of a matrix: of a batch, every n-th entry is
            sampled, such that so many rows and 32 entries remain. ``None`` samples all entries, but for the tap
            matrix of ``"separable"`` 1024 rows of each tap are always enough.
        momentum: weight of the new batch in the running statistics, in (0, 1];
            ``None`` averages all batches equally.
        layout: which features form a block. ``"blocks"``: whole neighbouring channels.
            ``"interleaved"``: the published grouping, flattened index modulo the number of
            blocks. ``"reference"``: interleaved, and running statistics, sampling of 1x1 layers
            and block size exactly as published, for its checkpoints and for comparison.
        freeze: a :class:`Freeze` schedule, or ``None`` to use batch statistics in every step.
        refresh_interval: compute whitening matrices at every n-th training step only; between, the last ones are
            held and rescaled to the batch's variance. Mean and scale are of every batch, with their gradient.

    Raises:
        ValueError: when a setting is out of range, with its name and value, or two schedules are given.

    Source: Ye et al., "Network Deconvolution", ICLR 2020.

    Example:
        >>> Whitening(structure="channel", group_size=16).group_size
        16
    """

    structure: Structure = "full"
    group_size: int = 64
    num_iterations: int = 5
    eps: float = 1e-5
    sampling_stride: int = 3
    rows_per_feature: int | None = None
    momentum: float | None = 0.1
    layout: Layout = "interleaved"
    freeze: Freeze | None = None
    refresh_interval: int = 1

    def __post_init__(self) -> None:
        if self.structure not in get_args(Structure):
            raise ValueError(f"structure must be one of {get_args(Structure)}, got {self.structure!r}")
        if self.layout not in get_args(Layout):
            raise ValueError(f"layout must be one of {get_args(Layout)}, got {self.layout!r}")
        for name in ("group_size", "num_iterations", "sampling_stride", "refresh_interval", "rows_per_feature"):
            value = getattr(self, name)
            if name == "rows_per_feature" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        if not (self.eps > 0 and self.eps < float("inf")):
            raise ValueError(f"eps must be positive and finite, got {self.eps!r}")
        if self.momentum is not None and not 0 < self.momentum <= 1:
            raise ValueError(f"momentum must be in (0, 1] or None, got {self.momentum!r}")
        if self.refresh_interval > 1 and (self.freeze is not None or self.layout == "reference"):
            raise ValueError('refresh_interval is not for layers with a freeze schedule or layout="reference"')
        if self.layout == "reference" and self.rows_per_feature is not None:
            raise ValueError('layout="reference" samples all entries of a batch: rows_per_feature must be None')
        if self.layout == "reference" and self.structure == "separable":
            raise ValueError('structure="separable" was never published: it has no layout="reference"')
