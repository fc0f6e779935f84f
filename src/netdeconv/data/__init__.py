"""Data sets by name: small images in memory, augmented on the device; image files read as they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdeconv.lazy import lazy_names

if TYPE_CHECKING:
    from netdeconv.data.config import DataConfig, Decoder
    from netdeconv.data.entry import Augmentation, DatasetInfo, ResizedCrop
    from netdeconv.data.errors import (
        CorruptImageError,
        CorruptImagesWarning,
        DataError,
        LoaderError,
        MissingDataError,
    )
    from netdeconv.data.layout import Found, find_imagenet
    from netdeconv.data.memory import InMemoryImages, TrainingImages
    from netdeconv.data.registry import DATASETS, info, list_names
    from netdeconv.data.sources import RawImages, read, resolve_data_dir
    from netdeconv.data.split import balanced_split
    from netdeconv.data.splits import EvaluationData, Splits, TrainingData, open_splits
    from netdeconv.data.streaming import FolderEvaluation, FolderTraining
    from netdeconv.data.workers import explained_deaths
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "DATASETS",
    "Augmentation",
    "CorruptImageError",
    "CorruptImagesWarning",
    "DataConfig",
    "DataError",
    "DatasetInfo",
    "Decoder",
    "EvaluationData",
    "FolderEvaluation",
    "FolderTraining",
    "Found",
    "InMemoryImages",
    "LoaderError",
    "MissingDataError",
    "RawImages",
    "ResizedCrop",
    "Splits",
    "TrainingData",
    "TrainingImages",
    "balanced_split",
    "explained_deaths",
    "find_imagenet",
    "info",
    "list_names",
    "open_splits",
    "read",
    "resolve_data_dir",
]
