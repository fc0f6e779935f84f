"""The network of a finished run of classification: the class of an image.

Shape letters: H height, W width.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.resources
import json
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from netdeconv.data.batches import EvaluationData
from netdeconv.data.errors import DataError, MissingDataError
from netdeconv.data.folder import TRAIN, find_folder
from netdeconv.data.memory import resolve_data_dir
from netdeconv.data.registry import DatasetInfo, info
from netdeconv.data.splits import Splits, open_splits, sized
from netdeconv.tasks.trained_network import Part, TrainedNetwork
from netdeconv.training.config import TrainingConfig

# Brightness of red, green and blue (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedClassifier(TrainedNetwork):
    """The network of a run of classification."""

    @staticmethod
    def entry(config: TrainingConfig, weights: dict[str, Tensor], file: Path) -> DatasetInfo:
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

    def batches(self, part: Part, *, data_dir: str | None = None) -> Iterable[tuple[Tensor, Tensor]]:
        """Return normalised images, varied ones of training, and labels."""
        splits = self._open(data_dir)
        return splits.train.epoch(1) if part == "train" else splits.evaluation

    def evaluation(self, split: str = "", *, data_dir: str | None = None) -> tuple[str, EvaluationData]:
        """Return the test images, or by default those of the run, and which they are."""
        if split not in ("", "test"):
            raise ValueError(f"--split {split}: a classifier is measured on test images, or on those of its run")
        splits = self._open(data_dir, cut=split != "test")
        return splits.evaluated_on, splits.evaluation

    def _open(self, data_dir: str | None, *, cut: bool = True) -> Splits:
        data = self.config.data
        size = data.validation_size if cut else 0
        data = dataclasses.replace(data, data_dir=data_dir or data.data_dir, validation_size=size)
        return open_splits(data, seed=self.config.seed, device=self.device)

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
        probabilities: Tensor = self.scores(self.normalised(pixels))[0].softmax(0).cpu()
        return probabilities
