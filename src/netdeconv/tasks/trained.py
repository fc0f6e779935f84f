"""A finished segmentation run: its network, what it predicts, and how good that is.

Shape letters: C channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision import tv_tensors
from torchvision.transforms import v2

from netdeconv.data import DatasetInfo
from netdeconv.data.segmentation import Pairs, evaluation_source, segmentation_info, training_source, whole_batches
from netdeconv.tasks.segmentation import Segmentation
from netdeconv.training.checkpoint import CheckpointError, evaluated_weights, load_checkpoint, restore_model
from netdeconv.training.config import TrainingConfig
from netdeconv.training.evaluation import evaluate
from netdeconv.training.plain import from_plain
from netdeconv.training.precision import resolve_precision
from netdeconv.training.run_directory import RunDirectoryError, read_config

LAST, BEST = "checkpoint.pt", "best.pt"
# Every network ends in a convolution to classes; its weight is the last of the network's own head.
_HEADS = ("classifier.4.weight", "classifier.low_classifier.weight")


@dataclasses.dataclass(frozen=True)
class TrainedSegmentation:
    """The network of a run, in evaluation mode.

    Args:
        path: the run directory.
        config: its settings.
        task: the task of the settings.
        info: the data set that it was trained on, with the classes.
        network: with the weights.
        device: where it is.
    """

    path: Path
    config: TrainingConfig
    task: Segmentation
    info: DatasetInfo
    network: nn.Module = dataclasses.field(repr=False)
    device: torch.device

    @classmethod
    def load(cls, path: str | Path, *, file: str = LAST, device: torch.device | str = "cpu") -> TrainedSegmentation:
        """Read a run directory.

        Args:
            path: the directory.
            file: ``checkpoint.pt``, the state after the last epoch, or ``best.pt``.
            device: where to put the network.

        Raises:
            RunDirectoryError: when there is no run of segmentation.
            CheckpointError: when the checkpoint is damaged, or has other classes or another network.
            FileNotFoundError: when there is no such checkpoint.
        """
        folder, device = Path(path).expanduser(), torch.device(device)
        plain = read_config(folder)
        kind = plain.get("task", {}).get("name")
        if kind != Segmentation.name:
            raise RunDirectoryError(f"{folder} holds no run of segmentation" + (f", but of {kind}" if kind else ""))
        config = from_plain(plain, {Segmentation.name: Segmentation})
        info = segmentation_info(config.data.dataset)
        assert isinstance(config.task, Segmentation)
        # The checkpoint has the weights of the backbone: none are fetched.
        task = dataclasses.replace(config.task, pretrained_backbone=False)
        state = load_checkpoint(folder / file)
        _require_classes(state["model"], info, config.data.dataset, folder / file)
        network = task.build_network(config.network, info)
        restore_model(network, evaluated_weights(state), folder / file)
        network.to(device).to(memory_format=torch.channels_last)
        return cls(folder, config, task, info, network.eval(), device)

    @torch.no_grad()
    def scores(self, inputs: Tensor) -> Any:
        """The network's outputs in the run's precision."""
        with self._autocast():
            outputs = self.network(inputs)
        return {name: values.float() for name, values in outputs.items()}

    def predict(self, image: Tensor) -> tv_tensors.Mask:
        """Return the class of every pixel of an image.

        The network sees the image at the size that it was trained and evaluated at, if the run had one; its scores
        are brought to the image's own size.

        Shapes: image uint8 (3, H, W) to uint8 (H, W).
        """
        size = self.task.views.size
        seen = image if size is None else v2.functional.resize(image, list(size), antialias=True)
        pixels = v2.functional.to_dtype(seen, torch.float32, scale=True)
        pixels = v2.functional.normalize(pixels, list(self.info.mean), list(self.info.std))
        inputs = pixels[None].to(self.device).contiguous(memory_format=torch.channels_last)
        scores = self.scores(inputs)["out"]
        if scores.shape[-2:] != image.shape[-2:]:
            scores = functional.interpolate(scores, size=image.shape[-2:], mode="bilinear", align_corners=False)
        return tv_tensors.Mask(scores.argmax(1)[0].to(torch.uint8).cpu())

    def measure(self, split: str, *, data_dir: str | None = None) -> dict[str, Any]:
        """Return what the task's meter measures on a part of the run's data set."""
        batches = whole_batches(
            self.source(split, data_dir=data_dir),
            self.info,
            self.task.views.batch_of(self.info),
            device=self.device,
            workers=self.config.data.num_workers,
        )
        return evaluate(self.scores, batches, self.task.meter(self.info.num_classes, self.device))

    def evaluation_source(self) -> Pairs:
        """The pairs that the run was evaluated on, at its size."""
        held = training_source(self.config.data, self.task.views.size)[1]
        return held or self.source(self.task.views.evaluate_on or self.info.splits[0])

    def source(self, split: str, *, data_dir: str | None = None) -> Pairs:
        """The pairs of a part of the run's data set, at the run's size."""
        config = self.config.data if data_dir is None else dataclasses.replace(self.config.data, data_dir=data_dir)
        return evaluation_source(config, split, self.task.views.size)

    @contextlib.contextmanager
    def _autocast(self) -> Iterator[None]:
        precision = resolve_precision(self.config.precision, self.device)
        dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            yield


def _require_classes(saved: dict[str, Tensor], info: DatasetInfo, dataset: str, path: Path) -> None:
    for name, weight in saved.items():
        if name.endswith(_HEADS) and len(weight) != info.num_classes:
            raise CheckpointError(
                f"{path} predicts {len(weight)} classes, and {dataset} has {info.num_classes}: "
                f"{', '.join(info.class_names)}"
            )
