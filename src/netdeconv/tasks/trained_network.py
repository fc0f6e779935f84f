"""The network of a finished run, of whichever task.

Shape letters: N batch, C channels, H height, W width.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as transforms

from netdeconv.data.batches import EvaluationData
from netdeconv.data.registry import DatasetInfo
from netdeconv.surgery import batch_statistics
from netdeconv.training.config import TrainingConfig
from netdeconv.training.devices import autocast
from netdeconv.training.measuring import evaluate, in_float32

Part = Literal["train", "evaluation"]


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

    path: Path
    config: TrainingConfig
    info: DatasetInfo
    network: nn.Module = dataclasses.field(repr=False)
    device: torch.device

    @staticmethod
    @abc.abstractmethod
    def entry(config: TrainingConfig, weights: dict[str, Tensor], file: Path) -> DatasetInfo:
        """The entry of the data set, as the run used it.

        Raises:
            CheckpointError: when the weights are of other classes.
        """

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the classes, in the order of their numbers."""
        return self.info.class_names

    @property
    def scorer(self) -> nn.Module:
        """The network, with class scores as its one output."""
        return self.network

    @abc.abstractmethod
    def batches(self, part: Part, *, data_dir: str | None = None) -> Iterable[tuple[Tensor, Tensor]]:
        """Return normalised images and targets, of images to train on or of those that the run was evaluated on."""

    @abc.abstractmethod
    def evaluation(self, split: str = "", *, data_dir: str | None = None) -> tuple[str, EvaluationData]:
        """Return a part of the data set, by default what the run was evaluated on, and its name.

        Raises:
            ValueError: when nothing can be measured on that part.
        """

    def measure(self, split: str = "", *, data_dir: str | None = None, batch: bool = False) -> dict[str, Any]:
        """Return what the task's meter measures, and on which part of the data set.

        Args:
            split: the part, such as ``"test"``; empty: the one that the run was evaluated on.
            data_dir: folder with the data sets, where it is not the run's.
            batch: whether layers use each batch's own statistics instead of the running ones.
        """
        part, data = self.evaluation(split, data_dir=data_dir)
        meter = self.config.task.meter(self.info.num_classes, self.device)
        with batch_statistics(self.network) if batch else contextlib.nullcontext():
            return {"evaluated_on": part, **evaluate(self.scores, data, meter)}

    @torch.no_grad()
    def scores(self, inputs: Tensor) -> Any:
        """Return the network's outputs for normalised images (N, C, H, W), computed in the run's precision."""
        with autocast(self.config.precision, self.device):
            return in_float32(self.network(inputs))

    def normalised(self, pixels: Tensor) -> Tensor:
        """Return an image of values from 0 to 1, (C, H, W), as a batch of one that the network takes."""
        pixels = transforms.normalize(pixels, list(self.info.mean), list(self.info.std))
        return pixels[None].to(self.device).contiguous(memory_format=torch.channels_last)
