"""Data sets by name, held in memory as uint8 and augmented in batches on the device."""

from __future__ import annotations

from netdeconv.data.memory import InMemoryImages, TrainingImages
from netdeconv.data.registry import DATASETS, Augmentation, DatasetInfo, info, list_names
from netdeconv.data.sources import MissingDataError, RawImages, read, resolve_data_dir
from netdeconv.data.split import balanced_split
from netdeconv.data.splits import DataConfig, Splits, open_splits

__all__ = [
    "DATASETS",
    "Augmentation",
    "DataConfig",
    "DatasetInfo",
    "InMemoryImages",
    "MissingDataError",
    "RawImages",
    "Splits",
    "TrainingImages",
    "balanced_split",
    "info",
    "list_names",
    "open_splits",
    "read",
    "resolve_data_dir",
]
