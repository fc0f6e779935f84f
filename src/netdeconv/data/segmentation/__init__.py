"""Images with a class for every pixel: data sets by name, joint transforms, batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdeconv.lazy import lazy_names

if TYPE_CHECKING:
    from netdeconv.data.decoding import load_image
    from netdeconv.data.registry import IGNORE, SEGMENTATION_DATASETS, PixelClass, segmentation_info
    from netdeconv.data.segmentation.opening import (
        evaluation_source,
        open_segmentation,
        training_source,
        whole_batches,
    )
    from netdeconv.data.segmentation.pairs import PairError, Pairs
    from netdeconv.data.segmentation.sources import open_source
    from netdeconv.data.segmentation.views import Views
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "IGNORE",
    "SEGMENTATION_DATASETS",
    "PairError",
    "Pairs",
    "PixelClass",
    "Views",
    "evaluation_source",
    "load_image",
    "open_segmentation",
    "open_source",
    "segmentation_info",
    "training_source",
    "whole_batches",
]
