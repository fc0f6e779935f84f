"""What a run trains and is evaluated on, from its settings."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from netdeconv.data import folder
from netdeconv.data.batches import EvaluationData, HeldImages, Shard, TrainingData
from netdeconv.data.config import DataConfig, Views
from netdeconv.data.loader import Loader
from netdeconv.data.memory import balanced_split, read, resolve_data_dir
from netdeconv.data.pairs import Pair, Pairs, find_pairs, resized, spaced_split
from netdeconv.data.registry import IGNORE, DatasetInfo, info, segmentation_info
from netdeconv.lookup import look_up

# Evaluation needs no gradients, so small images can come in larger batches than in training.
_EVALUATION_BATCH = 500
# One split for tuning, whatever a run's own seed is.
_SPLIT_SEED = 1
_balanced = functools.partial(balanced_split, seed=_SPLIT_SEED)
# Above this many bytes of decoded images and masks, they are read again in every epoch.
MEMORY_LIMIT = 1 << 30


@dataclasses.dataclass(frozen=True)
class Splits:
    """Training data, evaluation data, and which part of the data set the latter are."""

    info: DatasetInfo
    train: TrainingData
    evaluation: EvaluationData
    evaluated_on: str


@dataclasses.dataclass(frozen=True)
class _Opened:
    """A data set that was found.

    Args:
        info: its entry, as the settings change it.
        labels: of the images of its parts, by which they are cut; of images with masks their numbers.
        source: from a part's name and whether its images are varied to a source of them.
        evaluation_batch: images in a batch of an evaluation.
        evaluated_on: the part.
        cut: from labels and how many are cut out to the places of those that stay, and of those.
    """

    info: DatasetInfo
    labels: Mapping[str, Tensor]
    source: Callable[[str, bool], HeldImages | Loader]
    evaluation_batch: int
    evaluated_on: str = "test"
    cut: Callable[[Tensor, int], tuple[Tensor, Tensor]] = _balanced

    def some(self, part: str, index_N: Tensor, size: int | None) -> Tensor:
        """Return so many of the images; ``None`` for all."""
        if size is None or size == len(index_N):
            return index_N
        return index_N[self.cut(self.labels[part][index_N], size)[1]]


def open_splits(
    config: DataConfig, *, seed: int, device: torch.device, shard: Shard = (0, 1), views: Views | None = None
) -> Splits:
    """Open a data set and cut it as the settings say: in memory where it fits, else read as it is needed.

    Args:
        config: the settings.
        seed: of shuffling and augmentation.
        device: where the batches are.
        shard: this process's number and the number of processes. A batch of training is cut over them into equal
            parts, one of evaluation is a single process's, so that it is the same whatever their number.
        views: how images with masks are shown; ``None``: the images have one label each.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such data set or part.
        MissingDataError: when it is not on this machine.
        DataError: when its files are damaged, hold something else or may not be read.
        ValueError: when a size is out of range, or a setting is for other data sets.
    """
    from_folder = views is None and info(config.dataset).reader == "folder"
    if config.image_size and not from_folder:
        raise ValueError(f"image_size is for image files with one label each, not for {config.dataset!r}")
    if views is not None:
        opened = _open_pairs(config, views, device)
    else:
        opened = (_open_folder if from_folder else _open_memory)(config, device)
    train_N, part = torch.arange(len(opened.labels["train"])), opened.evaluated_on
    if config.validation_size:
        part = "train"
        train_N, evaluation_N = opened.cut(opened.labels[part], config.validation_size)
    else:
        evaluation_N = torch.arange(len(opened.labels[part]))
    train = TrainingData(
        opened.source("train", config.augment),
        opened.info,
        opened.some("train", train_N, config.train_size),
        batch_size=config.batch_size,
        seed=seed,
        shard=shard,
        max_batches=config.max_batches,
    )
    rank, world = shard
    batches = opened.some(part, evaluation_N, config.evaluation_size).split(opened.evaluation_batch)[rank::world]
    evaluation = EvaluationData(opened.source(part, False), opened.info, batches[: config.max_batches])
    return Splits(opened.info, train, evaluation, "validation" if config.validation_size else opened.evaluated_on)


def _open_memory(config: DataConfig, device: torch.device) -> _Opened:
    entry = info(config.dataset)
    train, test = read(config.dataset, data_dir=config.data_dir, download=config.download)
    raw = {"train": train, "test": test}

    def source(part: str, varied: bool) -> HeldImages:
        return HeldImages(raw[part], device=device, augmentation=entry if varied else None)

    return _Opened(entry, {part: each.labels for part, each in raw.items()}, source, _EVALUATION_BATCH)


def _open_folder(config: DataConfig, device: torch.device) -> _Opened:
    entry = info(config.dataset)
    root = folder.find_folder(resolve_data_dir(config.data_dir), config.dataset, entry)
    files = {"train": folder.read_files(root / folder.TRAIN)}
    if not config.validation_size:
        # Validation images by name, they are what published numbers are of: nothing may be chosen by them.
        files["test"] = folder.read_files(root / folder.VAL)
        folder.require_same_classes(files["train"], files["test"])
    entry = dataclasses.replace(sized(entry, config.image_size), num_classes=len(files["train"].classes))
    size = entry.shape[1]
    varying = v2.Compose([v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip()])
    shown = v2.Compose([v2.Resize(entry.resize, antialias=True), v2.CenterCrop(size)])

    def source(part: str, varied: bool) -> Loader:
        return Loader(files[part], varying if varied else shown, device=device, num_workers=config.num_workers)

    labels = {part: torch.tensor(each.targets) for part, each in files.items()}
    return _Opened(entry, labels, source, config.batch_size)


def sized(entry: DatasetInfo, size: int | None) -> DatasetInfo:
    """Return the entry of a set of image files with another height and width, and the rest in proportion."""
    if size is None or entry.reader != "folder":
        return entry
    return dataclasses.replace(entry, shape=(3, size, size), resize=round(size * entry.resize / entry.shape[1]))


def _open_pairs(config: DataConfig, views: Views, device: torch.device) -> _Opened:
    entry = segmentation_info(config.dataset)
    varying = random_view(views if config.augment else dataclasses.replace(views, scale=(1, 1), flip=False), entry)
    split = views.evaluate_on or entry.splits[0]
    look_up("part to evaluate on", split, dict.fromkeys(entry.splits))
    parts = {"train", "train" if config.validation_size else split}
    found = {part: find_pairs(config.dataset, part, data_dir=config.data_dir, size=views.size) for part in parts}
    samples = {part: in_memory(pairs) for part, pairs in found.items()}

    def source(part: str, varied: bool) -> Loader:
        # What is in memory needs no other process.
        workers = config.num_workers if samples[part] is found[part] else 0
        return Loader(samples[part], varying if varied else v2.Identity(), device=device, num_workers=workers)

    numbers = {part: torch.arange(len(pairs)) for part, pairs in found.items()}
    return _Opened(entry, numbers, source, views.evaluation_batch, split, spaced_split)


def in_memory(pairs: Pairs) -> Pairs | list[Pair]:
    """Return the pairs decoded, where all fit, else as they are."""
    height, width = pairs.size or pairs.info.shape[1:]
    fits = len(pairs) * height * width * (pairs.info.shape[0] + 1) <= MEMORY_LIMIT
    return [pairs[index] for index in range(len(pairs))] if fits else pairs


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
    crop = views.crop or views.size or info.crop
    height, width = views.size or info.shape[1:]
    if crop[0] > height or crop[1] > width:
        raise ValueError(f"the crop of {crop[1]}x{crop[0]} is larger than the images, {width}x{height}")
    fill = {tv_tensors.Image: [round(255 * mean) for mean in info.mean], tv_tensors.Mask: IGNORE}
    steps = [
        *([] if views.scale == (1.0, 1.0) else [RandomScale(views.scale)]),
        v2.RandomCrop(crop, pad_if_needed=True, fill=fill),
        *([v2.RandomHorizontalFlip()] if views.flip else []),
    ]
    return v2.Compose(steps)
