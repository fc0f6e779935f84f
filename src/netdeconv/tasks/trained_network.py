"""The network of a finished run, of whichever task.

Shape letters: N batch, C channels, H height, W width.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from netdeconv.data import (
    EvaluationData,
)
from netdeconv.tasks.segmentation import Segmentation
from netdeconv.training.checkpoint import CheckpointError, evaluated_weights, load_checkpoint, restore_model
from netdeconv.training.config import TrainingConfig
from netdeconv.training.devices import autocast
from netdeconv.training.measuring import evaluate, in_float32
from netdeconv.training.plain import from_plain
from netdeconv.training.run_directory import RunDirectoryError, read_config

Part = Literal["train", "evaluation"]
CHECKPOINT = "checkpoint.pt"
_FORMATS = (1, 2, 3)  # of checkpoints; they differ in what a run needs to go on


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
    def load(cls, path: str | Path, *, device: torch.device | str = "cpu") -> Self:
        """Read a run directory.

        Args:
            path: the directory.
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
            state = load_checkpoint(folder / CHECKPOINT)
        except FileNotFoundError as error:
            raise CheckpointError(f"{folder} has no {CHECKPOINT}: no epoch was finished") from error
        if state.get("format", 1) not in _FORMATS:
            raise CheckpointError(f"{folder / CHECKPOINT} has format {state['format']} of another version")
        weights = evaluated_weights(state)
        entry = cls._info(config, weights, folder / CHECKPOINT)
        # The checkpoint has all weights: none are fetched, none read from where the run started.
        task: Any = config.task
        if isinstance(task, Segmentation):
            task = dataclasses.replace(task, pretrained_backbone=False)
        network = task.build_network(dataclasses.replace(config.network, pretrained=False), entry)
        restore_model(network, weights, folder / CHECKPOINT)
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
            return in_float32(self.network(inputs))

    def measured(self, data: EvaluationData) -> dict[str, Any]:
        """Return what the task's meter measures on some data."""
        return evaluate(self.scores, data, self.config.task.meter(self.info.num_classes, self.device))
