"""Figures: returned, never shown; no backend is chosen."""

from __future__ import annotations

from netdeconv.viz.curves import curves
from netdeconv.viz.overlays import labelled_overlay, overlay, panels
from netdeconv.viz.rates import rate_map
from netdeconv.viz.search import Point, search_map

__all__ = ["Point", "curves", "labelled_overlay", "overlay", "panels", "rate_map", "search_map"]
