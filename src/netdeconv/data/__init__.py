"""Data sets by name: small images in memory, augmented on the device; image files read as they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdeconv.lazy import lazy_names

if TYPE_CHECKING:
    from netdeconv.data.batches import EvaluationData, TrainingData
    from netdeconv.data.config import DataConfig, Views
    from netdeconv.data.decoding import load_image
    from netdeconv.data.errors import CorruptImageError, DataError, MissingDataError
    from netdeconv.data.memory import read, resolve_data_dir
    from netdeconv.data.registry import DATASETS, IGNORE, SEGMENTATION_DATASETS, DatasetInfo, info, segmentation_info
    from netdeconv.data.splits import Splits, open_splits
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
    "MissingDataError",
    "Splits",
    "TrainingData",
    "Views",
    "info",
    "load_image",
    "open_splits",
    "read",
    "resolve_data_dir",
    "segmentation_info",
]
