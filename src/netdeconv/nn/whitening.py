"""The settings of a whitened layer: one frozen, validated dataclass."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, get_args

from netdeconv.linalg import NewtonSchulz, Root

Structure = Literal["full", "channel"]
_COUNTS = ("group_size", "num_iterations", "sampling_stride", "rows_per_feature")


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
        if not (is_count(self.active) and is_count(self.period) and self.active < self.period):
            raise ValueError(f"Freeze needs 1 <= active < period, got active={self.active!r}, period={self.period!r}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Whitening:
    """How a layer whitens its input.

    Args:
        structure: what one whitening matrix covers. ``"full"``: a whole patch, channels times
            kernel taps. ``"channel"``: the channels of one pixel; all taps share the matrix.
        group_size: channels (features for linear layers) that share one block. A layer uses the
            largest divisor of its channels (per convolution group) that is not above it, or blocks
            filled up with zeros where that is less than half of it.
        num_iterations: coupled Newton-Schulz steps. Few steps whiten partially, which regularises.
        root: another inverse square root: ``netdeconv.linalg.Converged()``, ``Eigen()``, or any function of
            matrices (G, D, D); ``None``: Newton-Schulz of ``num_iterations`` steps.
        eps: added to the covariance's diagonal, in squared units of the input.
        standardize: divide features by their standard deviations before the inverse root is taken, so that few
            Newton-Schulz steps whiten features of small scale as far as those of large scale.
        sampling_stride: take a patch at every n-th output position of each spatial axis; fewer are
            left out where an axis has less than four times as many.
        rows_per_feature: sampled rows that are enough for each feature of a matrix: of a batch, every n-th entry is
            sampled, such that so many positions and 32 entries remain. ``None`` samples all entries.
        momentum: weight of the new batch in the running statistics, in (0, 1];
            ``None`` averages all batches equally.
        freeze: a :class:`Freeze` schedule, or ``None`` to use batch statistics in every step.

    Raises:
        TypeError: when ``freeze``, ``root`` or ``standardize`` is something else.
        ValueError: when a setting is out of range, with its name and value.

    Source: Ye et al., "Network Deconvolution", ICLR 2020.

    Example:
        >>> Whitening(structure="channel", group_size=16).group_size
        16
    """

    structure: Structure = "full"
    group_size: int = 64
    num_iterations: int = 5
    root: Root | None = None
    eps: float = 1e-5
    standardize: bool = False
    sampling_stride: int = 3
    rows_per_feature: int | None = None
    momentum: float | None = 0.1
    freeze: Freeze | None = None

    def __post_init__(self) -> None:
        if self.structure not in get_args(Structure):
            raise ValueError(f"structure must be one of {get_args(Structure)}, got {self.structure!r}")
        for name in _COUNTS:
            value = getattr(self, name)
            if not (is_count(value) or (name == "rows_per_feature" and value is None)):
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        if not (_is_number(self.eps) and 0 < self.eps < math.inf):
            raise ValueError(f"eps must be positive and finite, got {self.eps!r}")
        if not isinstance(self.standardize, bool):
            raise TypeError(f"standardize must be True or False, got {self.standardize!r}")
        if self.momentum is not None and not (_is_number(self.momentum) and 0 < self.momentum <= 1):
            raise ValueError(f"momentum must be in (0, 1] or None, got {self.momentum!r}")
        if not isinstance(self.freeze, Freeze | None):
            raise TypeError(f"freeze must be a Freeze or None, got {self.freeze!r}")
        if not (self.root is None or callable(self.root)):
            raise TypeError(f"root must be an inverse root of netdeconv.linalg or None, got {self.root!r}")

    @property
    def method(self) -> Root:
        """The inverse square root that is used."""
        return self.root or NewtonSchulz(self.num_iterations)


def checked(whitening: Whitening | None) -> Whitening:
    """The settings, or the defaults for None.

    Raises: TypeError when they are something else.
    """
    if not isinstance(whitening, Whitening | None):
        raise TypeError(f"whitening must be a Whitening or None, got {whitening!r}")
    return whitening or Whitening()


def is_count(value: object) -> bool:
    """Whether a value is a positive integer, and not a truth value."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
