"""What a run trains and is evaluated on, from its settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor
from torchvision import datasets
from torchvision.transforms import v2

from netdeconv.data import folder
from netdeconv.data.batches import EvaluationData, HeldImages, Shard, TrainingData, hidden_square, local_batch_size
from netdeconv.data.config import DataConfig
from netdeconv.data.errors import MissingDataError
from netdeconv.data.loader import Loader
from netdeconv.data.reading import balanced_split, download_or_explain, read, resolve_data_dir
from netdeconv.data.registry import DatasetInfo, info

# Evaluation needs no gradients, so small images can come in larger batches than in training.
_EVALUATION_BATCH = 500
# One split for tuning, whatever a run's own seed is.
_SPLIT_SEED = 1


@dataclasses.dataclass(frozen=True)
class Splits:
    """Training data, evaluation data, and which part of the data set the latter are."""

    info: DatasetInfo
    train: TrainingData
    evaluation: EvaluationData
    evaluated_on: str


@dataclasses.dataclass(frozen=True)
class _Opened:
    """A data set: labels of its parts, and from a part's name and whether it is varied to a source of its images."""

    info: DatasetInfo
    labels: Mapping[str, Tensor]
    source: Callable[[str, bool], HeldImages | Loader]
    evaluation_batch: int


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
    local = local_batch_size(config.batch_size, shard)
    opened = (
        _open_folder(config, entry, device, local) if entry.reader == "folder" else _open_memory(config, entry, device)
    )
    labels_N, part = opened.labels["train"], "test"
    train_N = torch.arange(len(labels_N))
    if config.validation_size:
        part = "train"
        train_N, evaluation_N = balanced_split(labels_N, config.validation_size, seed=_SPLIT_SEED)
    else:
        evaluation_N = torch.arange(len(opened.labels["test"]))
    train_N = _some(train_N, labels_N, config.train_size)
    evaluation_N = _some(evaluation_N, opened.labels[part], config.evaluation_size)
    rank, world = shard
    batches = [each_B for each_B in evaluation_N[rank::world].split(opened.evaluation_batch) if len(each_B)]
    return Splits(
        info=opened.info,
        train=TrainingData(
            opened.source("train", config.augment),
            opened.info,
            train_N,
            batch_size=config.batch_size,
            seed=seed,
            shard=shard,
            max_batches=config.max_batches,
        ),
        evaluation=EvaluationData(opened.source(part, False), opened.info, batches[: config.max_batches]),
        evaluated_on="validation" if config.validation_size else "test",
    )


def _some(index_N: Tensor, labels: Tensor, size: int | None) -> Tensor:
    """So many of the images, every class in proportion; ``None`` for all."""
    if size is None or size == len(index_N):
        return index_N
    return index_N[balanced_split(labels[index_N], size, seed=_SPLIT_SEED)[1]]


def _open_memory(config: DataConfig, entry: DatasetInfo, device: torch.device) -> _Opened:
    for name in ("image_size", "resize", "num_classes"):
        if getattr(config, name) is not None:
            raise ValueError(f"{name} is for sets of image files: {config.dataset!r} is what it is")
    train, test = read(config.dataset, data_dir=config.data_dir, download=config.download)
    raw = {"train": train, "test": test}

    def source(part: str, varied: bool) -> HeldImages:
        return HeldImages(
            raw[part], device=device, augmentation=entry if varied else None, cutout=config.cutout if varied else 0
        )

    labels = {part: each.labels for part, each in raw.items()}
    return _Opened(entry, labels, source, _EVALUATION_BATCH)


def _open_folder(config: DataConfig, entry: DatasetInfo, device: torch.device, batch_size: int) -> _Opened:
    root = _find_folder(config, entry)
    files = {"train": folder.read_files(root / folder.TRAIN)}
    if not config.validation_size:
        # Validation images by name, they are what published numbers are of: nothing may be chosen by them.
        files["test"] = folder.read_files(root / folder.VAL)
    folder.require_classes(files["train"], config.num_classes or entry.num_classes, files.get("test"))
    size = config.image_size or entry.shape[1]
    resize = config.resize or round(size * (entry.resize or entry.shape[1]) / entry.shape[1])
    if resize < size:
        raise ValueError(f"resize {resize} is smaller than image_size {size}: images would be padded with black")
    entry = dataclasses.replace(entry, shape=(3, size, size), num_classes=len(files["train"].classes))
    steps = [v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip()]
    if config.cutout:
        steps.append(hidden_square(entry, config.cutout))
    shown, varying = v2.Compose([v2.Resize(resize, antialias=True), v2.CenterCrop(size)]), v2.Compose(steps)

    def source(part: str, varied: bool) -> Loader:
        load = files[part].__getitem__
        return Loader(load, varying if varied else shown, device=device, num_workers=config.num_workers)

    labels = {part: torch.tensor(each.targets) for part, each in files.items()}
    return _Opened(entry, labels, source, batch_size)


def _find_folder(config: DataConfig, entry: DatasetInfo) -> Path:
    root = resolve_data_dir(config.data_dir)
    try:
        return folder.find_folder(root, config.dataset, entry)
    except MissingDataError:
        if not config.download or entry.obtain:
            raise
    download_or_explain(config.dataset, root, lambda: datasets.Imagenette(str(root), size="160px", download=True))
    return folder.find_folder(root, config.dataset, entry)
