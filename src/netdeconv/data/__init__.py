"""Data sets by name: small images in memory, augmented on the device; image files read as they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdeconv.lazy import lazy_names

if TYPE_CHECKING:
    from netdeconv.data.batches import EvaluationData, HeldImages, TrainingData
    from netdeconv.data.config import DataConfig
    from netdeconv.data.decoding import load_image
    from netdeconv.data.errors import CorruptImageError, DataError, MissingDataError
    from netdeconv.data.folder import count_classes
    from netdeconv.data.loader import Loader
    from netdeconv.data.memory import RawImages, balanced_split, read, resolve_data_dir
    from netdeconv.data.pairs import PairError, Pairs, find_pairs, spaced
    from netdeconv.data.registry import (
        DATASETS,
        IGNORE,
        SEGMENTATION_DATASETS,
        DatasetInfo,
        PixelClass,
        info,
        segmentation_info,
    )
    from netdeconv.data.splits import Splits, evaluation_size, open_splits
    from netdeconv.data.views import Views
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "DATASETS",
    "IGNORE",
    "SEGMENTATION_DATASETS",
    "CorruptImageError",
    "DataConfig",
    "DataError",
    "DatasetInfo",
    "EvaluationData",
    "HeldImages",
    "Loader",
    "MissingDataError",
    "PairError",
    "Pairs",
    "PixelClass",
    "RawImages",
    "Splits",
    "TrainingData",
    "Views",
    "balanced_split",
    "count_classes",
    "evaluation_size",
    "find_pairs",
    "info",
    "load_image",
    "open_splits",
    "read",
    "resolve_data_dir",
    "segmentation_info",
    "spaced",
]
