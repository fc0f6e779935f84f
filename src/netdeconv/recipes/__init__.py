"""Experiments: comparisons and, one file each, the paper's tables and figures."""

from __future__ import annotations

from netdeconv.recipes.comparison import Comparison, Row, compare, plan, seconds_to
from netdeconv.recipes.rows import Failure, Trained, train_rows
from netdeconv.recipes.variants import VARIANTS, Variant, WhiteningChoice, is_batch_norm, variant

__all__ = [
    "VARIANTS",
    "Comparison",
    "Failure",
    "Row",
    "Trained",
    "Variant",
    "WhiteningChoice",
    "compare",
    "is_batch_norm",
    "plan",
    "seconds_to",
    "train_rows",
    "variant",
]
