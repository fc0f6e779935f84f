"""Data sets by name: small images in memory, augmented on the device; image files read as they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdeconv.lazy import lazy_names

if TYPE_CHECKING:
    from netdeconv.data.batches import EvaluationData, HeldImages, TrainingData
    from netdeconv.data.config import DataConfig
    from netdeconv.data.errors import CorruptImageError, DataError, LeftOutWarning, LoaderError, MissingDataError
    from netdeconv.data.folder import folder_classes
    from netdeconv.data.loader import explained_deaths
    from netdeconv.data.reading import RawImages, balanced_split, read, resolve_data_dir
    from netdeconv.data.registry import DATASETS, DatasetInfo, info
    from netdeconv.data.splits import Splits, open_splits
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "DATASETS",
    "CorruptImageError",
    "DataConfig",
    "DataError",
    "DatasetInfo",
    "EvaluationData",
    "HeldImages",
    "LeftOutWarning",
    "LoaderError",
    "MissingDataError",
    "RawImages",
    "Splits",
    "TrainingData",
    "balanced_split",
    "explained_deaths",
    "folder_classes",
    "info",
    "open_splits",
    "read",
    "resolve_data_dir",
]
