"""Figures: returned, never shown; no backend is chosen."""

from __future__ import annotations

from netdeconv.viz.curves import curves
from netdeconv.viz.rates import rate_curve

__all__ = ["curves", "rate_curve"]
