"""The network of a finished run of segmentation: the class of every pixel.

Shape letters: N batch, C channels, H height, W width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as transforms

from netdeconv.data import (
    DatasetInfo,
    EvaluationData,
    segmentation_info,
)
from netdeconv.data.loader import Loader
from netdeconv.data.pairs import Pairs, find_pairs, spaced
from netdeconv.tasks.segmentation import Segmentation
from netdeconv.tasks.trained_network import Part, TrainedNetwork
from netdeconv.training.checkpoint import CheckpointError
from netdeconv.training.config import TrainingConfig

# Every segmentation network ends in a convolution to classes; its weight is the last of the network's own head.
_HEADS = ("classifier.4.weight", "classifier.low_classifier.weight")


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
        return self.measured(self._whole(self.source(split, data_dir=data_dir)))

    def _whole(self, pairs: Pairs) -> EvaluationData:
        """Batches of whole images, normalised, and masks."""
        batches = torch.arange(len(pairs)).split(self.task.views.evaluation_batch)
        loader = Loader(pairs, v2.Identity(), device=self.device, num_workers=self.config.data.num_workers)
        return EvaluationData(loader, self.info, batches)

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
        return self._whole(whole)

    def evaluation_source(self, *, data_dir: str | None = None) -> Pairs:
        """The pairs that the run was evaluated on, at its size."""
        data = self.config.data
        if not data.validation_size:
            return self.source(self.task.views.evaluate_on or self.info.splits[0], data_dir=data_dir)
        pairs = self.source("train", data_dir=data_dir)
        return pairs.some(spaced(len(pairs), data.validation_size))

    def source(self, split: str, *, data_dir: str | None = None) -> Pairs:
        """The pairs of a part of the run's data set, at the run's size."""
        data = self.config.data
        return find_pairs(data.dataset, split, data_dir=data_dir or data.data_dir, size=self.task.views.size)
