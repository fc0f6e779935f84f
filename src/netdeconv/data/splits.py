"""What a run trains and is evaluated on, from its settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TypeVar

import torch

from netdeconv.data import folder
from netdeconv.data.config import DataConfig
from netdeconv.data.errors import MissingDataError
from netdeconv.data.folder import ImageFiles
from netdeconv.data.loader import Loader
from netdeconv.data.memory import InMemoryImages, RawImages, TrainingImages
from netdeconv.data.protocols import Splits
from netdeconv.data.reading import balanced_split, download_or_explain, read, resolve_data_dir
from netdeconv.data.registry import Augmentation, DatasetInfo, info
from netdeconv.data.shards import Shard, local_batch_size
from netdeconv.data.streaming import StreamedEvaluation, StreamedTraining

Images = TypeVar("Images", RawImages, ImageFiles)

# Evaluation needs no gradients, so small images can come in larger batches than in training.
_EVALUATION_BATCH = 500
# One split for tuning, whatever a run's own seed is.
_SPLIT_SEED = 1


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
        DataError: when its files are damaged, hold something else or may not be read.
        ValueError: when a size is out of range.
    """
    entry = info(config.dataset)
    opened = (_open_folder if entry.reader == "folder" else _open_memory)(config, entry, seed, device, shard)
    return opened.first(config.max_batches)


def _open_memory(config: DataConfig, entry: DatasetInfo, seed: int, device: torch.device, shard: Shard) -> Splits:
    for name in ("image_size", "resize", "num_classes"):
        if getattr(config, name) is not None:
            raise ValueError(f"{name} is for sets of image files: {config.dataset!r} is what it is")
    train, test = read(config.dataset, data_dir=config.data_dir, download=config.download, verify=config.verify)
    train, validation = _cut(train, config)
    evaluation = _some(test if validation is None else validation, config.evaluation_size)
    return Splits(
        info=entry,
        train=TrainingImages(
            train,
            entry,
            batch_size=config.batch_size,
            device=device,
            augmentation=_augmentation(config, entry),
            seed=seed,
            shard=shard,
        ),
        evaluation=InMemoryImages(evaluation, entry, batch_size=_EVALUATION_BATCH, device=device, shard=shard),
        evaluated_on="test" if validation is None else "validation",
    )


def _open_folder(config: DataConfig, entry: DatasetInfo, seed: int, device: torch.device, shard: Shard) -> Splits:
    from torchvision.transforms import v2  # only when it is needed: importing it takes a second

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
    evaluation = _some(evaluation, config.evaluation_size)
    size = config.image_size or entry.shape[1]
    resize = config.resize or round(size * (entry.resize or entry.shape[1]) / entry.shape[1])
    if resize < size:
        raise ValueError(f"resize {resize} is smaller than image_size {size}: images would be padded with black")
    entry = dataclasses.replace(entry, shape=(3, size, size), num_classes=len(classes))
    augmentation = _augmentation(config, entry)
    shown: v2.Transform = v2.Compose([v2.Resize(resize, antialias=True), v2.CenterCrop(size)])
    varied: v2.Transform = v2.RandomResizedCrop(size, antialias=True)
    if augmentation is not None and augmentation.flip:
        varied = v2.Compose([varied, v2.RandomHorizontalFlip()])

    def loader(files: ImageFiles, transform: v2.Transform, *, fill: bool) -> Loader:
        return Loader(
            files.load if config.decode == "workers" else files.read,
            transform,
            device=device,
            num_workers=config.num_workers,
            decode=config.decode,
            skip_corrupt=config.skip_corrupt,
            fill=fill,
        )

    rank, world = shard
    mine, batch = list(range(rank, len(evaluation), world)), local_batch_size(config.batch_size, shard)
    return Splits(
        info=entry,
        train=StreamedTraining(
            loader(train, varied if augmentation else shown, fill=True),
            entry,
            len(train),
            batch_size=config.batch_size,
            seed=seed,
            shard=shard,
            cutout=config.cutout,
        ),
        evaluation=StreamedEvaluation(
            loader(evaluation, shown, fill=False),
            entry,
            [mine[start : start + batch] for start in range(0, len(mine), batch)],
        ),
        evaluated_on=evaluated_on,
    )


def _cut(train: Images, config: DataConfig) -> tuple[Images, Images | None]:
    """The training images of a run, and those cut from them to be evaluated on, if any."""
    validation = None
    if config.validation_size:
        kept, cut = balanced_split(train.labels, config.validation_size, seed=_SPLIT_SEED)
        train, validation = train.part(kept), train.part(cut)
    return _some(train, config.train_size), validation


def _some(images: Images, size: int | None) -> Images:
    """So many of the images, every class in proportion; ``None`` for all."""
    if size is None or size == len(images.labels):
        return images
    return images.part(balanced_split(images.labels, size, seed=_SPLIT_SEED)[1])


def _find_folder(config: DataConfig, entry: DatasetInfo) -> Path:
    root = resolve_data_dir(config.data_dir)
    try:
        return folder.find_folder(root, config.dataset, entry)
    except MissingDataError:
        if not config.download or entry.obtain:
            raise
    from torchvision import datasets

    download_or_explain(config.dataset, root, lambda: datasets.Imagenette(str(root), size="160px", download=True))
    return folder.find_folder(root, config.dataset, entry)


def _augmentation(config: DataConfig, entry: DatasetInfo) -> Augmentation | None:
    if not config.augment:
        return None
    if config.cutout > min(entry.shape[1:]):
        raise ValueError(f"cutout {config.cutout} hides all of an image of {entry.shape[1]} x {entry.shape[2]}")
    return dataclasses.replace(entry.augmentation, cutout=config.cutout)
