"""Figures: returned, never shown; no backend is chosen."""

from __future__ import annotations

from netdeconv.viz.curves import curves

__all__ = ["curves"]
