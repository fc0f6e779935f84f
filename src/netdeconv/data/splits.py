"""What a run trains and is evaluated on, from its settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TypeVar

import torch

from netdeconv.data import folder
from netdeconv.data.config import DataConfig
from netdeconv.data.entry import Augmentation, DatasetInfo, ResizedCrop
from netdeconv.data.errors import MissingDataError
from netdeconv.data.folder import ImageFiles
from netdeconv.data.memory import InMemoryImages, TrainingImages
from netdeconv.data.protocols import DataInfo, EvaluationData, FirstBatches, FirstSteps, TrainingData
from netdeconv.data.raw import RawImages
from netdeconv.data.registry import info
from netdeconv.data.shards import Shard, local_batch_size
from netdeconv.data.sources import download_folder, read, resolve_data_dir
from netdeconv.data.split import balanced_split
from netdeconv.data.streaming import FolderEvaluation, FolderTraining, Loading

__all__ = ["DataConfig", "EvaluationData", "Splits", "TrainingData", "open_splits"]

Images = TypeVar("Images", RawImages, ImageFiles)

# Evaluation needs no gradients, so small images can come in larger batches than in training.
_EVALUATION_BATCH = 500
# One split for tuning, whatever a run's own seed is.
_SPLIT_SEED = 1


@dataclasses.dataclass(frozen=True)
class Splits:
    """Training data, evaluation data, and which part of the data set the latter are."""

    info: DataInfo
    train: TrainingData
    evaluation: EvaluationData
    evaluated_on: str


def open_splits(config: DataConfig, *, seed: int, device: torch.device, shard: Shard = (0, 1)) -> Splits:
    """Open the data set and cut it as the settings say: small images in memory, image files as they are needed.

    Args:
        config: the settings.
        seed: of shuffling and augmentation.
        device: where the batches are.
        shard: this process's number and the number of processes. A batch is cut over them into equal parts.

    Raises:
        UnknownNameError: when there is no such data set.
        MissingDataError: when it is not on this machine.
        DataError: when its files hold something else.
        ValueError: when a size is out of range.
    """
    entry = info(config.dataset)
    opened = (_open_folder if entry.reader == "folder" else _open_memory)(config, entry, seed, device, shard)
    return limited(opened, config.max_batches)


def limited(splits: Splits, batches: int | None) -> Splits:
    """Return at most so many batches of every epoch and of every evaluation; ``None``: all."""
    if batches is None:
        return splits
    return dataclasses.replace(
        splits, train=FirstSteps(splits.train, batches), evaluation=FirstBatches(splits.evaluation, batches)
    )


def _open_memory(config: DataConfig, entry: DatasetInfo, seed: int, device: torch.device, shard: Shard) -> Splits:
    for name in ("image_size", "resize", "num_classes"):
        if getattr(config, name) is not None:
            raise ValueError(f"{name} is for sets of image files: {config.dataset!r} is what it is")
    train, test = read(config.dataset, data_dir=config.data_dir, download=config.download, verify=config.verify)
    train, validation = _cut(train, config)
    held = test if validation is None else validation
    if config.evaluation_size is not None:
        held = held.part(balanced_split(held.labels, config.evaluation_size, seed=_SPLIT_SEED)[1])
    augmentation = _augmentation(config, entry)
    assert not isinstance(augmentation, ResizedCrop)
    return Splits(
        info=entry,
        train=TrainingImages(
            train,
            entry,
            batch_size=config.batch_size,
            device=device,
            augmentation=augmentation,
            seed=seed,
            shard=shard,
        ),
        evaluation=InMemoryImages(held, entry, batch_size=_EVALUATION_BATCH, device=device, shard=shard),
        evaluated_on="test" if validation is None else "validation",
    )


def _open_folder(config: DataConfig, entry: DatasetInfo, seed: int, device: torch.device, shard: Shard) -> Splits:
    root = _find_folder(config, entry)
    classes = folder.list_classes(root, folder.TRAIN)
    folder.require_num_classes(root, len(classes), config.num_classes or entry.num_classes)
    whole = folder.read_files(root, folder.TRAIN)
    train, evaluation = _cut(whole, config)
    evaluated_on = "validation"
    if evaluation is None:
        # Validation images by name, they are what published numbers are of: nothing may be chosen by them.
        evaluation, evaluated_on = folder.read_files(root, folder.VAL), "test"
        folder.require_same_classes(whole, evaluation)
    size = config.image_size or entry.shape[1]
    resize = config.resize or round(size * (entry.resize or entry.shape[1]) / entry.shape[1])
    entry = dataclasses.replace(entry, shape=(3, size, size), num_classes=len(classes))
    loading = Loading(
        device=device, num_workers=config.num_workers, decode=config.decode, skip_corrupt=config.skip_corrupt
    )
    augmentation = _augmentation(config, entry)
    assert not isinstance(augmentation, Augmentation)
    return Splits(
        info=entry,
        train=FolderTraining(
            train,
            entry,
            batch_size=config.batch_size,
            augmentation=augmentation,
            resize=resize,
            seed=seed,
            shard=shard,
            loading=loading,
        ),
        evaluation=FolderEvaluation(
            evaluation,
            entry,
            batch_size=local_batch_size(config.batch_size, shard),
            resize=resize,
            shard=shard,
            loading=loading,
        ),
        evaluated_on=evaluated_on,
    )


def _cut(train: Images, config: DataConfig) -> tuple[Images, Images | None]:
    """The training images of a run, and those cut from them to be evaluated on, if any."""
    validation = None
    if config.validation_size:
        kept, cut = balanced_split(train.labels, config.validation_size, seed=_SPLIT_SEED)
        train, validation = train.part(kept), train.part(cut)
    if config.train_size is not None and config.train_size != len(train.labels):
        train = train.part(balanced_split(train.labels, config.train_size, seed=_SPLIT_SEED)[1])
    return train, validation


def _find_folder(config: DataConfig, entry: DatasetInfo) -> Path:
    root = resolve_data_dir(config.data_dir)
    try:
        return folder.find_folder(root, config.dataset, entry)
    except MissingDataError:
        if not config.download or entry.obtain:
            raise
        download_folder(config.dataset, root)
        return folder.find_folder(root, config.dataset, entry)


def _augmentation(config: DataConfig, entry: DatasetInfo) -> Augmentation | ResizedCrop | None:
    if not config.augment:
        return None
    if config.cutout > min(entry.shape[1:]):
        raise ValueError(f"cutout {config.cutout} hides all of an image of {entry.shape[1]} x {entry.shape[2]}")
    return dataclasses.replace(entry.augmentation, cutout=config.cutout)
