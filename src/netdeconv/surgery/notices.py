"""What surgery warns about, each under its own name, and the logger that says what it did."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

logger = logging.getLogger("netdeconv.surgery")


class NothingChangedWarning(UserWarning):
    """A conversion, fold or recalibration found no layer to work on."""


class PartlyConvertedWarning(UserWarning):
    """A conversion left layers or norms as they are, though nobody asked for it."""


class CalibrationWarning(UserWarning):
    """A calibrated conversion does not reproduce the original's outputs on the last batch."""


def counted(reasons: Iterable[str]) -> str:
    """Each reason once with the number of its cases, the most frequent first."""
    return "; ".join(f"{number} x {reason}" for reason, number in Counter(reasons).most_common())
