"""Experiments: comparisons and, one file each, the paper's tables and figures."""

from __future__ import annotations

from netdeconv.recipes.book import recipe, recipe_names
from netdeconv.recipes.comparison import Comparison, Row, compare, plan, seconds_to
from netdeconv.recipes.rate_curve import RateCurve, read_curve
from netdeconv.recipes.rate_finder import RangeTest, find_rate
from netdeconv.recipes.recipe import Recipe, RecipeRow
from netdeconv.recipes.reproduction import Reproduced, Reproduction, reproduce
from netdeconv.recipes.rows import Failure, Trained, train_rows
from netdeconv.recipes.search import search
from netdeconv.recipes.search_space import Axis, Search, Space, Trial
from netdeconv.recipes.variants import VARIANTS, Variant, WhiteningChoice, is_batch_norm, variant

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
