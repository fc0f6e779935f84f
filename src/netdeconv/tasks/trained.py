"""A finished run: its network, what it predicts, and how good that is; here that of classification.

Shape letters: N batch, C channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.resources
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from netdeconv.data import (
    DataError,
    DatasetInfo,
    MissingDataError,
    Splits,
    info,
    open_splits,
    resolve_data_dir,
)
from netdeconv.data.folder import TRAIN, find_folder
from netdeconv.data.splits import sized
from netdeconv.surgery import batch_statistics
from netdeconv.tasks.classification import Classification
from netdeconv.tasks.segmentation import Segmentation
from netdeconv.tasks.trained_network import Part, TrainedNetwork
from netdeconv.tasks.trained_segmentation import TrainedSegmentation
from netdeconv.training.config import TrainingConfig
from netdeconv.training.run_directory import read_config

__all__ = ["TrainedClassifier", "TrainedNetwork", "TrainedSegmentation", "load_trained"]

# Brightness of red, green and blue (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)


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
        last = [value for name, value in weights.items() if name.endswith((".bias", ".weight"))][-1]
        return dataclasses.replace(sized(entry, config.data.image_size), num_classes=len(last))

    @property
    def class_names(self) -> list[str]:
        """The data set's names, those of its folders where they are found, or numbers."""
        data = self.config.data
        table = importlib.resources.files("netdeconv.data").joinpath("names.json").read_text(encoding="utf-8")
        names: list[str] = json.loads(table).get(data.dataset, [])
        entry = info(data.dataset)
        if entry.reader == "folder":
            with contextlib.suppress(DataError, MissingDataError):
                train = find_folder(resolve_data_dir(data.data_dir), data.dataset, entry) / TRAIN
                names = sorted(each.name for each in train.iterdir() if each.is_dir())
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


def load_trained(path: str | Path, *, device: torch.device | str = "cpu") -> TrainedClassifier | TrainedSegmentation:
    """Return the network of a run.

    Raises:
        RunDirectoryError, CheckpointError: as :meth:`TrainedNetwork.load` does.
    """
    segments = read_config(path).get("task", {}).get("name") == Segmentation.name
    kind: type[TrainedClassifier | TrainedSegmentation] = TrainedSegmentation if segments else TrainedClassifier
    return kind.load(path, device=device)
