"""What a segmentation run trains and is evaluated on, from its settings."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from netdeconv.data.batches import EvaluationData, Shard, TrainingData
from netdeconv.data.config import DataConfig
from netdeconv.data.loader import Loader
from netdeconv.data.registry import IGNORE, DatasetInfo, segmentation_info
from netdeconv.data.segmentation.pairs import Pair, Pairs, resized
from netdeconv.data.segmentation.sources import open_source
from netdeconv.data.segmentation.views import Views
from netdeconv.data.splits import Splits
from netdeconv.lookup import look_up

# Above this many bytes of decoded images, they are read again in every epoch.
MEMORY_LIMIT = 1 << 30


class RandomScale:
    """Resizes an image and its mask by one factor, drawn uniformly from a range."""

    def __init__(self, scale: tuple[float, float]) -> None:
        self.scale = scale

    def __call__(self, *pair: Tensor) -> Pair:
        """Return both."""
        factor = float(torch.empty(()).uniform_(*self.scale))
        height, width = (max(1, round(side * factor)) for side in pair[0].shape[-2:])
        return resized(pair, (height, width))  # type: ignore[arg-type]


def random_view(views: Views, info: DatasetInfo) -> v2.Transform:
    """Return the random changes of training pairs: scaled, a part of them cut out, mirrored.

    What is smaller than the part is padded, the image with the mean colour, the mask with the ignored label.
    """
    fill = {tv_tensors.Image: [round(255 * mean) for mean in info.mean], tv_tensors.Mask: IGNORE}
    steps = [
        *([] if views.scale == (1.0, 1.0) else [RandomScale(views.scale)]),
        v2.RandomCrop(views.crop_of(info), pad_if_needed=True, fill=fill),
        *([v2.RandomHorizontalFlip()] if views.flip else []),
    ]
    return v2.Compose(steps)


def training_source(config: DataConfig, size: tuple[int, int] | None) -> tuple[Pairs, Pairs | None]:
    """Return the pairs to train on, and those cut from them for validation, if any, at a size."""
    source, held = evaluation_source(config, "train", size), None
    if config.validation_size:
        source, held = source.cut(config.validation_size)
    if config.train_size is not None and config.train_size != len(source):
        _, source = source.cut(config.train_size)
    return source, held


def evaluation_source(config: DataConfig, split: str, size: tuple[int, int] | None) -> Pairs:
    """Return the pairs of a part of the data set, at a size."""
    pairs = open_source(config.dataset, split, data_dir=config.data_dir, download=config.download)
    return dataclasses.replace(pairs, size=size)


def held_or_streamed(source: Pairs, info: DatasetInfo) -> Pairs:
    """Return the pairs in memory where all sizes are equal and everything fits, else as they are."""
    height, width = source.size or info.shape[1:]
    uniform = source.size is not None or not info.varying
    fits = len(source) * height * width * (info.shape[0] + 1) <= MEMORY_LIMIT
    return source.in_memory() if uniform and fits else source


def whole_batches(
    source: Pairs,
    info: DatasetInfo,
    batch_size: int,
    *,
    device: torch.device,
    workers: int = 0,
    shard: Shard = (0, 1),
    max_batches: int | None = None,
) -> EvaluationData:
    """Return unchanged pairs in their order, a whole batch to one process.

    A batch holds the same images whatever the number of processes, so that each prediction is the same too.
    """
    rank, world = shard
    batches = torch.arange(len(source)).split(batch_size)[rank::world]
    return EvaluationData(_loader(source, v2.Identity(), device, workers), info, batches[:max_batches])


def _loader(source: Pairs, transform: v2.Transform, device: torch.device, workers: int) -> Loader:
    # What is in memory needs no other process.
    return Loader(source.load, transform, device=device, num_workers=0 if source.held is not None else workers)


def open_segmentation(
    config: DataConfig, views: Views, *, seed: int, device: torch.device, shard: Shard = (0, 1)
) -> Splits:
    """Find the data set, read what fits into memory, and cut it as the settings say.

    Args:
        config: which images; ``validation_size`` cuts evenly spaced images from the training images.
        views: how they are shown.
        seed: of order and random views.
        device: where batches go.
        shard: this process's number and the number of processes.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such data set or part.
        MissingDataError: when it is not on this machine.
        DataError: when files do not fit each other or the data set.
        ValueError: when a size is out of range, or a setting is for images with one label.
    """
    info = segmentation_info(config.dataset)
    usual = DataConfig()
    for name in ("evaluation_size", "cutout", "num_classes", "image_size", "resize"):
        if getattr(config, name) != getattr(usual, name):
            raise ValueError(f"{name} is for images with one label, not for segmentation")
    if not config.augment:
        views = dataclasses.replace(views, scale=(1.0, 1.0), flip=False)
    view, crop = random_view(views, info), views.crop_of(info)
    split = views.evaluate_on or info.splits[0]
    look_up("part to evaluate on", split, dict.fromkeys(info.splits))
    train, held = training_source(config, views.size)
    # Where sizes vary, small images are padded; elsewhere they do not belong to the data set.
    least = (1, 1) if info.varying and views.size is None else crop
    train = held_or_streamed(dataclasses.replace(train, least=least), info)
    evaluation = held_or_streamed(held or evaluation_source(config, split, views.size), info)
    return Splits(
        info=info,
        train=TrainingData(
            _loader(train, view, device, config.num_workers),
            info,
            torch.arange(len(train)),
            batch_size=config.batch_size,
            seed=seed,
            shard=shard,
            max_batches=config.max_batches,
        ),
        evaluation=whole_batches(
            evaluation,
            info,
            views.batch_of(info),
            device=device,
            workers=config.num_workers,
            shard=shard,
            max_batches=config.max_batches,
        ),
        evaluated_on="validation" if held is not None else split,
    )
