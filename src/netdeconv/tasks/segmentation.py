"""Semantic segmentation: a class for every pixel, some of which count for nothing.

Shape letters: N batch, C classes, H height, W width.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import SumMetric
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from netdeconv.data import DataConfig, Splits
from netdeconv.data.segmentation import IGNORE, SegmentationInfo, Views, open_segmentation
from netdeconv.models import BATCH_NORM, normalise
from netdeconv.models.segmentation import build_segmentation, segmentation_network
from netdeconv.models.windows import WindowedInference
from netdeconv.training.config import NetworkConfig

Outputs = Tensor | Mapping[str, Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Segmentation:
    """One label a pixel; pixels labelled 255 are ignored.

    Args:
        views: size, crops and the part to evaluate on.
        auxiliary: whether networks that can have an auxiliary head have one.
        auxiliary_weight: of its loss, beside the weight 1 of the network's own.
        class_weights: of each class in the loss; ``None``: all 1.
        output_stride: image pixels to one of the last feature map; ``None``: the network's usual.
        pretrained_backbone: whether the backbone starts from weights of ImageNet.
        window: height and width of the windows that evaluation slides over an image; ``None``: whole images.
        average_flip: whether evaluation averages an image's scores and those of its mirror image.

    Raises:
        ValueError: when a weight is negative or infinite.
    """

    name: ClassVar[str] = "segmentation"
    metric: ClassVar[str] = "mean_iou"

    views: Views = dataclasses.field(default_factory=Views)
    auxiliary: bool = True
    auxiliary_weight: float = 0.5
    class_weights: tuple[float, ...] | None = None
    output_stride: int | None = None
    pretrained_backbone: bool = False
    window: tuple[int, int] | None = None
    average_flip: bool = False

    def __post_init__(self) -> None:
        for weight in (self.auxiliary_weight, *(self.class_weights or ())):
            if not 0 <= weight < float("inf"):
                raise ValueError(f"weights of the loss must be finite and not negative, got {weight}")

    def open(self, config: DataConfig, *, seed: int, device: torch.device, shard: tuple[int, int] = (0, 1)) -> Splits:
        """Return images and masks, in memory where they fit.

        Raises:
            ValueError: when there are not as many class weights as classes, and as :func:`open_segmentation` says.
        """
        splits = open_segmentation(config, self.views, seed=seed, device=device, shard=shard)
        if self.class_weights is not None and len(self.class_weights) != splits.info.num_classes:
            raise ValueError(f"{len(self.class_weights)} class weights for {splits.info.num_classes} classes")
        return splits

    def build_network(self, config: NetworkConfig, info: SegmentationInfo) -> nn.Module:
        """Return the network of the settings, converted where they say so.

        Raises:
            UnknownNameError: a ValueError with the nearest name, when there is no such network.
            ValueError: when it cannot be built as the settings say.
        """
        if self.pretrained_backbone and config.norm.name != BATCH_NORM:
            raise ValueError(
                "pretrained weights are of a backbone with batch norm, and mean nothing with another normalisation: "
                "--pretrained-backbone False trains from scratch"
            )
        network = build_segmentation(
            config.arch,
            num_classes=info.num_classes,
            auxiliary=self.auxiliary,
            pretrained_backbone=self.pretrained_backbone,
            output_stride=self.output_stride,
            width=config.width,
        )
        network = normalise(network, config.norm, segmentation_network(config.arch))
        if self.window is not None or self.average_flip:
            return WindowedInference(network, window=self.window, flip=self.average_flip)
        return network

    def mix(self, inputs: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Return the batch as it is: masks are not mixed."""
        del num_classes
        return inputs, targets

    def compute_loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        """Return the mean cross entropy of the pixels that count, that of the auxiliary head added in its share.

        Shapes: outputs (N, C, H, W) or a dictionary of such, targets (N, H, W).
        Returns: zero, with zero gradients, where all pixels are ignored.
        """
        if isinstance(outputs, Tensor):
            outputs = {"out": outputs}
        loss = self._mean(*self._sums(outputs["out"], targets))
        if "aux" in outputs:
            loss = loss + self.auxiliary_weight * self._mean(*self._sums(outputs["aux"], targets))
        return loss

    def _sums(self, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The weighted sum of all pixels' losses, and the sum of the weights."""
        scores = scores.float()
        weights = None if self.class_weights is None else scores.new_tensor(self.class_weights)
        loss = functional.cross_entropy(scores, targets, weight=weights, ignore_index=IGNORE, reduction="sum")
        counted = targets != IGNORE
        if weights is None:
            return loss, counted.sum().to(loss.dtype)
        return loss, weights[targets.where(counted, 0)].where(counted, 0).sum()

    @staticmethod
    def _mean(loss: Tensor, weight: Tensor) -> Tensor:
        return loss / weight.where(weight > 0, 1)

    def meter(self, num_classes: int, device: torch.device) -> SegmentationMeter:
        """Return an empty meter of intersection over union, accuracy of pixels and mean loss."""
        return SegmentationMeter(self, num_classes, device)


class SegmentationMeter:
    """Intersection over union and accuracy of pixels in per cent, and mean loss, over all processes.

    Counts are integers: the same images give the same result in whatever batches, on however many processes.
    """

    def __init__(self, task: Segmentation, num_classes: int, device: torch.device) -> None:
        self._task = task
        common: dict[str, Any] = {"ignore_index": IGNORE, "validate_args": False}
        # A class that neither occurs nor is predicted has no IoU.
        iou = MulticlassJaccardIndex(num_classes, average="none", zero_division=math.nan, **common)
        self._iou = iou.to(device)
        self._accuracy = MulticlassAccuracy(num_classes, average="micro", **common).to(device)
        # A network whose scores overflow has a loss that is no number, and that is what is said.
        self._loss, self._weight = (
            SumMetric(nan_strategy="disable").set_dtype(torch.float64).to(device) for _ in range(2)
        )

    def update(self, outputs: Outputs, targets: Tensor) -> None:
        """Take one batch of class scores (N, C, H, W), the auxiliary head's left out, and labels (N, H, W)."""
        scores = outputs if isinstance(outputs, Tensor) else outputs["out"]
        loss, weight = self._task._sums(scores, targets)
        self._loss.update(loss.double())
        self._weight.update(weight.double())
        classes = scores.argmax(1)
        self._iou.update(classes, targets)
        self._accuracy.update(classes, targets)

    def compute(self) -> dict[str, Any]:
        """Return ``loss``, ``accuracy`` of pixels, ``mean_iou`` and ``iou`` of every class, ``None`` where it has none.

        A class that neither occurs nor is predicted takes no part in the mean.
        """
        weight = float(self._weight.compute())
        iou = 100 * self._iou.compute().double().cpu()
        known = iou[~iou.isnan()]
        return {
            "loss": float(self._loss.compute()) / weight if weight else 0.0,
            "accuracy": round(100 * float(self._accuracy.compute()), 4),
            "mean_iou": round(float(known.mean()), 4) if len(known) else 0.0,
            "iou": [None if math.isnan(value) else round(value, 4) for value in iou.tolist()],
        }
