"""The network of a finished run of segmentation: the class of every pixel.

Shape letters: N batch, C channels, H height, W width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as transforms

from netdeconv.data.batches import EvaluationData
from netdeconv.data.config import Views
from netdeconv.data.loader import Loader
from netdeconv.data.pairs import Pairs, find_pairs, spaced
from netdeconv.data.registry import DatasetInfo, segmentation_info
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

    @staticmethod
    def entry(config: TrainingConfig, weights: dict[str, Tensor], file: Path) -> DatasetInfo:
        """The entry with the run's image size, if it had one."""
        entry = segmentation_info(config.data.dataset)
        for name, weight in weights.items():
            if name.endswith(_HEADS) and len(weight) != entry.num_classes:
                raise CheckpointError(
                    f"{file} predicts {len(weight)} classes, and {config.data.dataset} has {entry.num_classes}: "
                    f"{', '.join(entry.class_names)}"
                )
        assert isinstance(config.task, Segmentation)
        height, width = config.task.views.size or entry.shape[1:]
        return dataclasses.replace(entry, shape=(3, height, width))

    @property
    def views(self) -> Views:
        """How images are shown."""
        assert isinstance(self.config.task, Segmentation)
        return self.config.task.views

    @property
    def scorer(self) -> nn.Module:
        """The network, with scores of every pixel as its one output."""
        return _Scores(self.network)

    def predict(self, image: Tensor) -> tv_tensors.Mask:
        """Return the class of every pixel of an image.

        The network sees the image at the size that it was trained and evaluated at, if the run had one; its scores
        are brought to the image's own size.

        Shapes: image uint8 (3, H, W) to uint8 (H, W).
        """
        size = self.views.size
        seen = image if size is None else transforms.resize(image, list(size), antialias=True)
        scores = self.scores(self.normalised(transforms.to_dtype(seen, torch.float32, scale=True)))["out"]
        if scores.shape[-2:] != image.shape[-2:]:
            scores = functional.interpolate(scores, size=image.shape[-2:], mode="bilinear", align_corners=False)
        return tv_tensors.Mask(scores.argmax(1)[0].to(torch.uint8).cpu())

    def batches(self, part: Part, *, data_dir: str | None = None) -> Iterable[tuple[Tensor, Tensor]]:
        """Return whole images, normalised, and masks."""
        return self.evaluation("train" if part == "train" else "", data_dir=data_dir)[1]

    def evaluation(self, split: str = "", *, data_dir: str | None = None) -> tuple[str, EvaluationData]:
        """Return batches of whole images, normalised, and masks; and which part of the data set they are."""
        part, pairs = self.pairs(split, data_dir=data_dir)
        batches = torch.arange(len(pairs)).split(self.views.evaluation_batch)
        loader = Loader(pairs, v2.Identity(), device=self.device, num_workers=self.config.data.num_workers)
        return part, EvaluationData(loader, self.info, batches)

    def pairs(self, split: str = "", *, data_dir: str | None = None) -> tuple[str, Pairs]:
        """Return a part of the run's data set at the run's size, by default what it was evaluated on; and its name."""
        data = self.config.data
        part = split or ("train" if data.validation_size else self.views.evaluate_on or self.info.splits[0])
        pairs = find_pairs(data.dataset, part, data_dir=data_dir or data.data_dir, size=self.views.size)
        if split or not data.validation_size:
            return part, pairs
        return "validation", pairs.some(spaced(len(pairs), data.validation_size))
