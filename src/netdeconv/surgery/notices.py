"""What surgery warns about, each under its own name, and the logger that says what it did."""

from __future__ import annotations

import logging

logger = logging.getLogger("netdeconv.surgery")


class NothingChangedWarning(UserWarning):
    """A conversion, fold or recalibration found no layer to work on."""


class CalibrationWarning(UserWarning):
    """A calibrated conversion does not reproduce the original's outputs on the last batch."""
