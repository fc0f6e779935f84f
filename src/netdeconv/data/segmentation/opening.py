"""What a segmentation run trains and is evaluated on, from its settings."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from netdeconv.data.config import DataConfig
from netdeconv.data.loader import workers_of_this_process
from netdeconv.data.protocols import Splits
from netdeconv.data.segmentation.batches import EvaluationPairs, TrainingPairs
from netdeconv.data.segmentation.held import held_or_streamed
from netdeconv.data.segmentation.pairs import PairSource, cut
from netdeconv.data.segmentation.registry import SegmentationInfo, segmentation_info
from netdeconv.data.segmentation.sources import open_source
from netdeconv.data.segmentation.transforms import RandomView
from netdeconv.data.shards import Shard
from netdeconv.lookup import look_up


@dataclasses.dataclass(frozen=True, kw_only=True)
class Views:
    """How images and masks are shown to a network.

    Args:
        size: height and width that images and masks are brought to when they are read; ``None``: as they are.
        crop: height and width of a training image; ``None``: ``size``, else what is usual for the data set.
        scale: smallest and largest factor of the random scaling in training.
        flip: whether half of the training images are mirrored.
        evaluate_on: the part to evaluate on; ``None``: the data set's first, its validation images.
        evaluation_batch: images in a batch of the evaluation; 1 where their sizes vary.

    Raises:
        ValueError: when a number is out of range.
    """

    size: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    scale: tuple[float, float] = (0.5, 2.0)
    flip: bool = True
    evaluate_on: str | None = None
    evaluation_batch: int = 8

    def __post_init__(self) -> None:
        for name in ("size", "crop"):
            value = getattr(self, name)
            if value is not None and (len(value) != 2 or min(value) < 1):
                raise ValueError(f"{name} must be a height and a width of at least 1, got {value}")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale must be a smaller and a larger positive factor, got {self.scale}")
        if self.evaluation_batch < 1:
            raise ValueError(f"evaluation_batch must be at least 1, got {self.evaluation_batch}")

    def random_view(self, info: SegmentationInfo) -> RandomView:
        """Return the random changes of training images.

        Raises:
            ValueError: when the crop is larger than the images.
        """
        crop = self.crop or self.size or info.crop
        have = self.size or (None if info.varying else info.shape[1:])
        if have is not None and (crop[0] > have[0] or crop[1] > have[1]):
            raise ValueError(
                f"the crop of {crop[1]}x{crop[0]} is larger than the images, {have[1]}x{have[0]}: choose a smaller one"
            )
        fill = tuple(round(255 * mean) for mean in info.mean)
        pad = info.varying and self.size is None
        return RandomView(crop=crop, scale=self.scale, flip=self.flip, pad=pad, fill=fill)


def training_source(config: DataConfig) -> tuple[PairSource, PairSource | None]:
    """The pairs to train on, and those cut from them for validation, if any."""
    source = open_source(config.dataset, "train", data_dir=config.data_dir, download=config.download)
    held: PairSource | None = None
    if config.validation_size:
        source, held = cut(source, config.validation_size)
    if config.train_size is not None and config.train_size != len(source):
        _, source = cut(source, config.train_size)
    return source, held


def evaluation_source(config: DataConfig, split: str) -> PairSource:
    """The pairs of a part of the data set."""
    return open_source(config.dataset, split, data_dir=config.data_dir, download=config.download)


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
    _refuse_other_settings(config)
    view = views.random_view(info)
    if not config.augment:
        view = dataclasses.replace(view, scale=(1.0, 1.0), flip=False)
    split = views.evaluate_on or info.splits[0]
    look_up("part to evaluate on", split, dict.fromkeys(info.splits))
    train, held = training_source(config)
    evaluation = held if held is not None else evaluation_source(config, split)
    uniform = views.size is not None or not info.varying
    common: dict[str, Any] = {"device": device, "workers": workers_of_this_process(config.num_workers), "shard": shard}
    splits = Splits(
        info=info,
        train=TrainingPairs(
            held_or_streamed(train, info, views.size),
            info,
            batch_size=config.batch_size,
            view=view,
            seed=seed,
            **common,
        ),
        evaluation=EvaluationPairs(
            held_or_streamed(evaluation, info, views.size),
            info,
            batch_size=views.evaluation_batch if uniform else 1,
            **common,
        ),
        evaluated_on="validation" if held is not None else split,
    )
    return splits.first(config.max_batches)


def _refuse_other_settings(config: DataConfig) -> None:
    """Settings of images with one label each mean nothing here."""
    usual = DataConfig()
    for name in ("evaluation_size", "cutout", "num_classes", "image_size", "resize", "decode", "skip_corrupt"):
        if getattr(config, name) != getattr(usual, name):
            raise ValueError(f"{name} is for images with one label, not for segmentation")
