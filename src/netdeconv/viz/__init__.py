"""Figures: returned, never shown; no backend is chosen."""

from __future__ import annotations

from netdeconv.viz.curves import curves
from netdeconv.viz.overlays import overlay, panels

__all__ = ["curves", "overlay", "panels"]
