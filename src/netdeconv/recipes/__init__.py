"""Experiments: comparisons and, one file each, the paper's tables and figures."""

from __future__ import annotations

from netdeconv.recipes.comparison import Comparison, Row, compare, plan, seconds_to
from netdeconv.recipes.variants import VARIANTS, Variant, WhiteningChoice, variant

__all__ = [
    "VARIANTS",
    "Comparison",
    "Row",
    "Variant",
    "WhiteningChoice",
    "compare",
    "plan",
    "seconds_to",
    "variant",
]
