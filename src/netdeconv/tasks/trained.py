"""A finished run: its network, what it predicts, and how good that is.

Shape letters: N batch, C channels, H height, W width.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as transforms

from netdeconv.data import (
    DataError,
    DatasetInfo,
    EvaluationData,
    MissingDataError,
    Splits,
    folder_classes,
    info,
    open_splits,
    resolve_data_dir,
)
from netdeconv.data.segmentation import Pairs, evaluation_source, segmentation_info, training_source, whole_batches
from netdeconv.surgery import batch_statistics
from netdeconv.tasks.classification import Classification
from netdeconv.tasks.segmentation import Segmentation
from netdeconv.training.checkpoint import CheckpointError, evaluated_weights, load_checkpoint, restore_model
from netdeconv.training.config import TrainingConfig
from netdeconv.training.measuring import evaluate, in_float32
from netdeconv.training.plain import from_plain
from netdeconv.training.precision import autocast
from netdeconv.training.run_directory import RunDirectoryError, read_config

Part = Literal["train", "evaluation"]
LAST, BEST = "checkpoint.pt", "best.pt"
_FORMATS = (1, 2, 3)  # of checkpoints; they differ in what a run needs to go on
# Brightness of red, green and blue (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)
# Every segmentation network ends in a convolution to classes; its weight is the last of the network's own head.
_HEADS = ("classifier.4.weight", "classifier.low_classifier.weight")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedNetwork(abc.ABC):
    """The network of a run, in evaluation mode.

    Args:
        path: the run directory.
        config: its settings.
        info: the data set that it was trained on, with the shape and number of classes of the network.
        network: with the weights; averaged ones where the run evaluated those.
        device: where it is.
    """

    task_type: ClassVar[Any]
    path: Path
    config: TrainingConfig
    info: Any
    network: nn.Module = dataclasses.field(repr=False)
    device: torch.device

    @classmethod
    def load(cls, path: str | Path, *, file: str = LAST, device: torch.device | str = "cpu") -> Self:
        """Read a run directory.

        Args:
            path: the directory.
            file: ``checkpoint.pt``, the state after the last epoch, or ``best.pt``.
            device: where to put the network.

        Raises:
            RunDirectoryError: when there is no run of this task, or this version does not know its settings.
            CheckpointError: when the checkpoint is absent, damaged, of another network or other classes.
        """
        folder, device = Path(path).expanduser(), torch.device(device)
        plain, name = read_config(folder), cls.task_type.name
        kind = plain.get("task", {}).get("name")
        if kind != name:
            raise RunDirectoryError(f"{folder} holds no run of {name}" + (f", but of {kind}" if kind else ""))
        try:
            config = from_plain(plain, {name: cls.task_type})
        except ValueError as error:
            raise RunDirectoryError(f"{folder} is of another version: {error}") from error
        try:
            state = load_checkpoint(folder / file)
        except FileNotFoundError as error:
            raise CheckpointError(f"{folder} has no {file}: no epoch was finished, or none was kept") from error
        if state.get("format", 1) not in _FORMATS:
            raise CheckpointError(f"{folder / file} has format {state['format']} of another version")
        weights = evaluated_weights(state)
        entry = cls._info(config, weights, folder / file)
        # The checkpoint has all weights: none are fetched, none read from where the run started.
        task: Any = config.task
        if isinstance(task, Segmentation):
            task = dataclasses.replace(task, pretrained_backbone=False)
        network = task.build_network(dataclasses.replace(config.network, pretrained=False), entry)
        restore_model(network, weights, folder / file)
        network = network.to(device).to(memory_format=torch.channels_last).eval()
        return cls(path=folder, config=config, info=entry, network=network, device=device)

    @classmethod
    @abc.abstractmethod
    def _info(cls, config: TrainingConfig, weights: dict[str, Tensor], file: Path) -> Any:
        """The entry of the data set, as the run used it."""

    @property
    @abc.abstractmethod
    def class_names(self) -> Sequence[str]:
        """Names of the classes, in the order of their numbers."""

    @property
    @abc.abstractmethod
    def input_shape(self) -> tuple[int, int, int]:
        """What the network is evaluated at."""

    @property
    def scorer(self) -> nn.Module:
        """The network, with class scores as its one output."""
        return self.network

    @abc.abstractmethod
    def batches(self, part: Part, *, data_dir: str | None = None) -> Iterable[tuple[Tensor, Tensor]]:
        """Return normalised images and targets, of images to train on or of those that the run was evaluated on."""

    @torch.no_grad()
    def scores(self, inputs: Tensor) -> Any:
        """Return the network's outputs for normalised images (N, C, H, W), computed in the run's precision."""
        with autocast(self.config.precision, self.device):
            return in_float32(self.network, inputs)

    def measured(self, data: EvaluationData) -> dict[str, Any]:
        """Return what the task's meter measures on some data."""
        return evaluate(self.scores, data, self.config.task.meter(self.info.num_classes, self.device))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedClassifier(TrainedNetwork):
    """The network of a run of classification."""

    task_type = Classification
    info: DatasetInfo

    @classmethod
    def _info(cls, config: TrainingConfig, weights: dict[str, Tensor], file: Path) -> DatasetInfo:
        """The entry with the run's image size; a folder has as many classes as the network's last layer."""
        entry = info(config.data.dataset)
        if entry.reader != "folder":
            return entry
        size = config.data.image_size or entry.shape[1]
        resize = config.data.resize or round(size * (entry.resize or entry.shape[1]) / entry.shape[1])
        last = [value for name, value in weights.items() if name.endswith((".bias", ".weight"))][-1]
        return dataclasses.replace(entry, shape=(3, size, size), resize=resize, num_classes=len(last))

    @property
    def class_names(self) -> list[str]:
        """The data set's names, those of its folders where they are found, or numbers."""
        names = self.info.names.split(", ")
        if self.config.data.dataset == "imagenet":
            with contextlib.suppress(DataError, MissingDataError):
                names = folder_classes(resolve_data_dir(self.config.data.data_dir))
        count = self.info.num_classes
        return names if len(names) == count else [f"class {number}" for number in range(count)]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Of the data set, or of the images that a folder's were cut to."""
        return self.info.shape

    def batches(self, part: Part, *, data_dir: str | None = None) -> Iterable[tuple[Tensor, Tensor]]:
        """Return normalised images, varied ones of training, and labels."""
        splits = self.splits(data_dir=data_dir)
        return splits.train.epoch(1) if part == "train" else splits.evaluation

    def splits(self, *, data_dir: str | None = None, test: bool = False) -> Splits:
        """Return the run's images.

        Args:
            data_dir: folder with the data sets, where it is not the run's.
            test: evaluate on the test images, also where the run cut others from the training images.
        """
        changes: dict[str, Any] = {} if data_dir is None else {"data_dir": data_dir}
        if test:
            changes["validation_size"] = 0
        config = dataclasses.replace(self.config.data, **changes)
        return open_splits(config, seed=self.config.seed, device=self.device)

    def measure(self, splits: Splits, *, batch: bool = False) -> dict[str, float]:
        """Return what the task's meter measures on the evaluation images.

        Args:
            splits: from :meth:`splits`.
            batch: whether layers use each batch's own statistics instead of the running ones.
        """
        with batch_statistics(self.network) if batch else contextlib.nullcontext():
            return self.measured(splits.evaluation)

    def predict(self, image: Tensor) -> Tensor:
        """Return the probability of every class: uint8 (3, H, W) to (classes).

        The shorter side is brought to the size of evaluation, and the middle is cut out.
        """
        channels, height, width = self.info.shape
        image = transforms.resize(image, [self.info.resize or height], antialias=True)
        image = transforms.center_crop(image, [height, width])
        pixels = transforms.to_dtype(image, torch.float32, scale=True)
        if channels == 1:
            # torchvision's weights add up to 0.9999: a grey image would come out darker than it is.
            pixels = (pixels * torch.tensor(_LUMA)[:, None, None]).sum(0, keepdim=True)
        pixels = transforms.normalize(pixels, list(self.info.mean), list(self.info.std))
        probabilities: Tensor = self.scores(pixels[None].to(self.device))[0].softmax(0).cpu()
        return probabilities


class _Scores(nn.Module):
    """A segmentation network without its auxiliary output."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)["out"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedSegmentation(TrainedNetwork):
    """The network of a run of segmentation."""

    task_type = Segmentation
    info: DatasetInfo

    @classmethod
    def _info(cls, config: TrainingConfig, weights: dict[str, Tensor], file: Path) -> DatasetInfo:
        entry = segmentation_info(config.data.dataset)
        for name, weight in weights.items():
            if name.endswith(_HEADS) and len(weight) != entry.num_classes:
                raise CheckpointError(
                    f"{file} predicts {len(weight)} classes, and {config.data.dataset} has {entry.num_classes}: "
                    f"{', '.join(entry.class_names)}"
                )
        return entry

    @property
    def task(self) -> Segmentation:
        """The task of the settings."""
        assert isinstance(self.config.task, Segmentation)
        return self.config.task

    def predict(self, image: Tensor) -> tv_tensors.Mask:
        """Return the class of every pixel of an image.

        The network sees the image at the size that it was trained and evaluated at, if the run had one; its scores
        are brought to the image's own size.

        Shapes: image uint8 (3, H, W) to uint8 (H, W).
        """
        size = self.task.views.size
        seen = image if size is None else transforms.resize(image, list(size), antialias=True)
        pixels = transforms.to_dtype(seen, torch.float32, scale=True)
        pixels = transforms.normalize(pixels, list(self.info.mean), list(self.info.std))
        inputs = pixels[None].to(self.device).contiguous(memory_format=torch.channels_last)
        scores = self.scores(inputs)["out"]
        if scores.shape[-2:] != image.shape[-2:]:
            scores = functional.interpolate(scores, size=image.shape[-2:], mode="bilinear", align_corners=False)
        return tv_tensors.Mask(scores.argmax(1)[0].to(torch.uint8).cpu())

    def measure(self, split: str, *, data_dir: str | None = None) -> dict[str, Any]:
        """Return what the task's meter measures on a part of the run's data set."""
        source, size = self.source(split, data_dir=data_dir), self.task.views.batch_of(self.info)
        workers = self.config.data.num_workers
        return self.measured(whole_batches(source, self.info, size, device=self.device, workers=workers))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The data set's names."""
        return self.info.class_names

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """At the run's size, or the data set's."""
        return (3, *(self.task.views.size or self.info.shape[1:]))

    @property
    def scorer(self) -> nn.Module:
        """The network, with scores of every pixel as its one output."""
        return _Scores(self.network)

    def batches(self, part: Part, *, data_dir: str | None = None) -> Iterable[tuple[Tensor, Tensor]]:
        """Return whole images, normalised, and masks."""
        whole = (
            self.source("train", data_dir=data_dir) if part == "train" else self.evaluation_source(data_dir=data_dir)
        )
        return whole_batches(whole, self.info, self.task.views.batch_of(self.info), device=self.device)

    def evaluation_source(self, *, data_dir: str | None = None) -> Pairs:
        """The pairs that the run was evaluated on, at its size."""
        config = self.config.data if data_dir is None else dataclasses.replace(self.config.data, data_dir=data_dir)
        held = training_source(config, self.task.views.size)[1]
        return held or self.source(self.task.views.evaluate_on or self.info.splits[0], data_dir=data_dir)

    def source(self, split: str, *, data_dir: str | None = None) -> Pairs:
        """The pairs of a part of the run's data set, at the run's size."""
        config = self.config.data if data_dir is None else dataclasses.replace(self.config.data, data_dir=data_dir)
        return evaluation_source(config, split, self.task.views.size)


def load_trained(
    path: str | Path, *, best: bool = False, device: torch.device | str = "cpu"
) -> TrainedClassifier | TrainedSegmentation:
    """Return the network of a run, of its best epoch or of the last.

    Raises:
        RunDirectoryError, CheckpointError: as :meth:`TrainedNetwork.load` does.
    """
    segments = read_config(path).get("task", {}).get("name") == Segmentation.name
    kind: type[TrainedClassifier | TrainedSegmentation] = TrainedSegmentation if segments else TrainedClassifier
    return kind.load(path, file=BEST if best else LAST, device=device)
