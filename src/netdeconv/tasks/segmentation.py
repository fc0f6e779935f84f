"""Semantic segmentation: a class for every pixel, some of which count for nothing.

What needs torch is imported when it is called: ``--help`` need not wait for it.

Shape letters: N batch, C classes, H height, W width.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from netdeconv.data.config import Views
from netdeconv.training.config import Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from netdeconv.data.config import DataConfig
    from netdeconv.data.registry import DatasetInfo
    from netdeconv.data.splits import Splits
    from netdeconv.tasks.pixels import Outputs, SegmentationMeter
    from netdeconv.training.config import NetworkConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Segmentation(Task):
    """One label a pixel; pixels labelled 255 are ignored.

    Args:
        views: size, crops and the part to evaluate on.
        auxiliary: whether networks that can have an auxiliary head have one.
        auxiliary_weight: of its loss, beside the weight 1 of the network's own.
        output_stride: image pixels to one of the last feature map; ``None``: the network's usual.
        pretrained_backbone: whether the backbone starts from weights of ImageNet.

    Raises:
        ValueError: when the weight is negative or infinite.
    """

    name: ClassVar[str] = "segmentation"
    metric: ClassVar[str] = "mean_iou"

    views: Views = dataclasses.field(default_factory=Views)
    auxiliary: bool = True
    auxiliary_weight: float = 0.5
    output_stride: int | None = None
    pretrained_backbone: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.auxiliary_weight < float("inf"):
            raise ValueError(f"auxiliary_weight must be finite and not negative, got {self.auxiliary_weight}")

    def open(self, config: DataConfig, *, seed: int, device: torch.device, shard: tuple[int, int] = (0, 1)) -> Splits:
        """Return images and masks, in memory where they fit."""
        from netdeconv.data.splits import open_splits

        return open_splits(config, seed=seed, device=device, shard=shard, views=self.views)

    def build_network(self, config: NetworkConfig, info: DatasetInfo) -> nn.Module:
        """Return the network of the settings, converted where they say so.

        Raises:
            UnknownNameError: a ValueError with the nearest name, when there is no such network.
            ValueError: when it cannot be built as the settings say.
        """
        from netdeconv.models import BATCH_NORM, normalise
        from netdeconv.models.segmentation import build_segmentation, segmentation_network

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
        return normalise(network, config.norm, segmentation_network(config.arch))

    def compute_loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        """Return the mean cross entropy of the pixels that count, that of the auxiliary head added in its share.

        Shapes: outputs (N, C, H, W) or a dictionary of such, targets (N, H, W).
        Returns: zero, with zero gradients, where all pixels are ignored.
        """
        from netdeconv.tasks.pixels import mean_loss

        return mean_loss(outputs, targets, self.auxiliary_weight)

    def meter(self, num_classes: int, device: torch.device) -> SegmentationMeter:
        """Return an empty meter of intersection over union, accuracy of pixels and mean loss."""
        from netdeconv.tasks.pixels import SegmentationMeter

        return SegmentationMeter(num_classes, device)
