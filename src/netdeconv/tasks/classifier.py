"""A finished classification run: its network, what it predicts, and how good that is.

Shape letters: N batch, C channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netdeconv.data import DatasetInfo, Splits, info, open_splits
from netdeconv.surgery import batch_statistics
from netdeconv.tasks.classification import Classification
from netdeconv.training import (
    CheckpointError,
    RunDirectoryError,
    TrainingConfig,
    evaluate,
    from_plain,
    load_checkpoint,
    read_config,
    restore_model,
)
from netdeconv.training.checkpoint import evaluated_weights
from netdeconv.training.precision import resolve_precision

LAST, BEST = "checkpoint.pt", "best.pt"
# Brightness of red, green and blue (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedClassifier:
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

    @classmethod
    def load(cls, path: str | Path, *, file: str = LAST, device: torch.device | str = "cpu") -> TrainedClassifier:
        """Read a run directory.

        Args:
            path: the directory.
            file: ``checkpoint.pt``, the state after the last epoch, or ``best.pt``.
            device: where to put the network.

        Raises:
            RunDirectoryError: when there is no run of classification.
            CheckpointError: when the checkpoint is absent, damaged or of another network.
        """
        folder, device = Path(path).expanduser(), torch.device(device)
        plain = read_config(folder)
        kind = plain.get("task", {}).get("name")
        if kind != Classification.name:
            raise RunDirectoryError(f"{folder} holds no run of classification" + (f", but of {kind}" if kind else ""))
        config = from_plain(plain, {Classification.name: Classification})
        try:
            state = load_checkpoint(folder / file)
        except FileNotFoundError as error:
            raise CheckpointError(f"{folder} has no {file}: no epoch was finished, or none was kept") from error
        weights = evaluated_weights(state)
        entry = _as_trained(info(config.data.dataset), config, weights)
        # The checkpoint has all weights: none are fetched, none read from where the run started.
        settings = dataclasses.replace(config.network, pretrained=False)
        network = config.task.build_network(settings, entry)
        restore_model(network, weights, folder / file)
        network = network.to(device).to(memory_format=torch.channels_last).eval()
        return cls(path=folder, config=config, info=entry, network=network, device=device)

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

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        """Return the class scores of normalised images in the run's precision: (N, C, H, W) to (N, classes)."""
        precision = resolve_precision(self.config.precision, self.device)
        dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            scores: Tensor = self.network(images)
        return scores.float()

    def measure(self, splits: Splits, *, batch: bool = False) -> dict[str, float]:
        """Return what the task's meter measures on the evaluation images.

        Args:
            splits: from :meth:`splits`.
            batch: whether layers use each batch's own statistics instead of the running ones.
        """
        meter = self.config.task.meter(self.info.num_classes, self.device)
        with batch_statistics(self.network) if batch else contextlib.nullcontext():
            return evaluate(self.scores, splits.evaluation, meter)

    def predict(self, image: Tensor) -> Tensor:
        """Return the probability of every class: uint8 (3, H, W) to (classes).

        The shorter side is brought to the size of evaluation, and the middle is cut out.
        """
        from torchvision.transforms.v2 import functional  # only when it is needed: importing it takes a second

        channels, height, width = self.info.shape
        image = functional.resize(image, [self.info.resize or height], antialias=True)
        image = functional.center_crop(image, [height, width])
        pixels = functional.to_dtype(image, torch.float32, scale=True)
        if channels == 1:
            # torchvision's weights add up to 0.9999: a grey image would come out darker than it is.
            pixels = (pixels * torch.tensor(_LUMA)[:, None, None]).sum(0, keepdim=True)
        pixels = functional.normalize(pixels, list(self.info.mean), list(self.info.std))
        return self.scores(pixels[None].to(self.device))[0].softmax(0).cpu()


def _as_trained(entry: DatasetInfo, config: TrainingConfig, weights: dict[str, Tensor]) -> DatasetInfo:
    """The entry with the run's image size; a folder has as many classes as the network's last layer."""
    if entry.reader != "folder":
        return entry
    size = config.data.image_size or entry.shape[1]
    resize = config.data.resize or round(size * (entry.resize or entry.shape[1]) / entry.shape[1])
    last = [value for name, value in weights.items() if name.endswith((".bias", ".weight"))][-1]
    return dataclasses.replace(entry, shape=(3, size, size), resize=resize, num_classes=len(last))
