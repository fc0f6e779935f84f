"""Experiments: comparisons and, one file each, the paper's tables and figures."""

from __future__ import annotations

from netdeconv.experiments.book import recipe, recipe_names
from netdeconv.experiments.comparison import Comparison, Row, compare, plan, seconds_to
from netdeconv.experiments.rate_curve import RateCurve, read_curve
from netdeconv.experiments.rate_finder import RangeTest, find_rate
from netdeconv.experiments.recipe import Recipe, RecipeRow
from netdeconv.experiments.reproduction import Reproduced, Reproduction, reproduce
from netdeconv.experiments.rows import Failure, Trained, train_rows
from netdeconv.experiments.search import search
from netdeconv.experiments.search_space import Axis, Search, Space, Trial
from netdeconv.experiments.variants import VARIANTS, Variant, WhiteningChoice, is_batch_norm, variant

__all__ = [
    "VARIANTS",
    "Axis",
    "Comparison",
    "Failure",
    "RangeTest",
    "RateCurve",
    "Recipe",
    "RecipeRow",
    "Reproduced",
    "Reproduction",
    "Row",
    "Search",
    "Space",
    "Trained",
    "Trial",
    "Variant",
    "WhiteningChoice",
    "compare",
    "find_rate",
    "is_batch_norm",
    "plan",
    "read_curve",
    "recipe",
    "recipe_names",
    "reproduce",
    "search",
    "seconds_to",
    "train_rows",
    "variant",
]
