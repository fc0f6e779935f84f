"""Data sets by name: small images in memory, augmented on the device; image files read as they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdeconv.lazy import lazy_names

if TYPE_CHECKING:
    from netdeconv.data.config import DataConfig, Decoder
    from netdeconv.data.errors import CorruptImageError, DataError, LeftOutWarning, LoaderError, MissingDataError
    from netdeconv.data.folder import Found, find_imagenet
    from netdeconv.data.loader import explained_deaths
    from netdeconv.data.memory import InMemoryImages, RawImages, TrainingImages
    from netdeconv.data.protocols import DataInfo, EvaluationData, Splits, TrainingData
    from netdeconv.data.reading import balanced_split, read, resolve_data_dir
    from netdeconv.data.registry import DATASETS, Augmentation, DatasetInfo, info, list_names
    from netdeconv.data.splits import open_splits
    from netdeconv.data.streaming import StreamedEvaluation, StreamedTraining
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "DATASETS",
    "Augmentation",
    "CorruptImageError",
    "DataConfig",
    "DataError",
    "DataInfo",
    "DatasetInfo",
    "Decoder",
    "EvaluationData",
    "Found",
    "InMemoryImages",
    "LeftOutWarning",
    "LoaderError",
    "MissingDataError",
    "RawImages",
    "Splits",
    "StreamedEvaluation",
    "StreamedTraining",
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
