"""What a run trains and is evaluated on, from its settings."""

from __future__ import annotations

import dataclasses

import torch

from netdeconv.data.memory import InMemoryImages, TrainingImages
from netdeconv.data.registry import DatasetInfo, info
from netdeconv.data.sources import RawImages, read
from netdeconv.data.split import balanced_split


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images, and how they come.

    Args:
        dataset: a name of the registry.
        data_dir: folder with the data sets; ``None``: ``NETDECONV_DATA``, else ``data``.
        download: whether an absent data set may be fetched.
        verify: whether CIFAR's files must have their published md5 sums.
        validation_size: images cut from the training images, every class in proportion, that the
            run is evaluated on instead of the test images; 0 evaluates on the test images.
        train_size: train on this many images only, every class in proportion; ``None`` for all.
        batch_size: images in a training batch.
        augment: whether training images are randomly cropped and mirrored.
    """

    dataset: str = "digits"
    data_dir: str | None = None
    download: bool = False
    verify: bool = True
    validation_size: int = 0
    train_size: int | None = None
    batch_size: int = 128
    augment: bool = True


@dataclasses.dataclass(frozen=True)
class Splits:
    """Training images, evaluation images, and which part of the data set the latter are."""

    info: DatasetInfo
    train: TrainingImages
    evaluation: InMemoryImages
    evaluated_on: str


# Evaluation needs no gradients, so it can take larger batches than training.
_EVALUATION_BATCH = 500
# One split for tuning, whatever a run's own seed is.
_SPLIT_SEED = 1


def open_splits(config: DataConfig, *, seed: int, device: torch.device, shard: tuple[int, int] = (0, 1)) -> Splits:
    """Read the data set into the device's memory and cut it as the settings say.

    Args:
        config: the settings.
        seed: of shuffling and augmentation.
        device: where the images are kept.
        shard: this process's number and the number of processes.

    Raises:
        UnknownNameError: when there is no such data set.
        MissingDataError: when it is not on this machine.
        ValueError: when a size is out of range.
    """
    entry = info(config.dataset)
    train, evaluation = read(config.dataset, data_dir=config.data_dir, download=config.download, verify=config.verify)
    evaluated_on = "test"
    if config.validation_size:
        kept, cut = balanced_split(train.labels, config.validation_size, seed=_SPLIT_SEED)
        train, evaluation, evaluated_on = _part(train, kept), _part(train, cut), "validation"
    if config.train_size is not None and config.train_size != len(train.labels):
        _, cut = balanced_split(train.labels, config.train_size, seed=_SPLIT_SEED)
        train = _part(train, cut)
    return Splits(
        info=entry,
        train=TrainingImages(
            train,
            entry,
            batch_size=config.batch_size,
            device=device,
            augmentation=entry.augmentation if config.augment else None,
            seed=seed,
            shard=shard,
        ),
        evaluation=InMemoryImages(evaluation, entry, batch_size=_EVALUATION_BATCH, device=device),
        evaluated_on=evaluated_on,
    )


def _part(raw: RawImages, index: torch.Tensor) -> RawImages:
    return RawImages(raw.images[index], raw.labels[index])
