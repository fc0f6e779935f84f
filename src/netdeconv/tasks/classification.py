"""Image classification: cross entropy or squared error, top-1 and top-5 accuracy.

What needs torch is imported when it is called: ``--help`` need not wait for it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, ClassVar

from tyro.conf import arg

from netdeconv.lookup import unknown_name
from netdeconv.training.config import Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from netdeconv.data.config import DataConfig
    from netdeconv.data.registry import DatasetInfo
    from netdeconv.data.splits import Splits
    from netdeconv.tasks.losses import ClassificationMeter
    from netdeconv.training.config import NetworkConfig

LOSS_NAMES = ("CE", "L2")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classification(Task):
    """One label an image.

    Args:
        loss: ``"CE"``, cross entropy, or ``"L2"``, squared error against one-hot targets.
        label_smoothing: share of every training target that is spread over all classes.
        mixup: parameter of the Beta distribution from which the shares of two mixed training images are
            drawn; 0 mixes none. Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018.
        cutout: side of a square that is hidden in every training image, in the mean colour; 0 for none.
            Source: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017,
            where a part of the square may lie outside.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such loss.
        ValueError: when a number is out of range.
    """

    name: ClassVar[str] = "classification"
    metric: ClassVar[str] = "accuracy"
    loss: Annotated[str, arg(metavar="{CE,L2}")] = "CE"
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutout: int = 0

    def __post_init__(self) -> None:
        if self.loss not in LOSS_NAMES:
            raise unknown_name("loss", self.loss, LOSS_NAMES)
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}")
        if self.mixup < 0:
            raise ValueError(f"mixup must not be negative, got {self.mixup}")
        if self.cutout < 0:
            raise ValueError(f"cutout must not be negative, got {self.cutout}")

    def open(self, config: DataConfig, *, seed: int, device: torch.device, shard: tuple[int, int] = (0, 1)) -> Splits:
        """Return this process's share of the images.

        Raises:
            ValueError: when squares would hide all of an image.
        """
        from netdeconv.data.splits import open_splits

        splits = open_splits(config, seed=seed, device=device, shard=shard)
        if self.cutout >= min(splits.info.shape[1:]):
            raise ValueError(f"cutout {self.cutout} hides all of an image of {splits.info.shape[1:]}")
        return splits

    def build_network(self, config: NetworkConfig, info: DatasetInfo) -> nn.Module:
        """Return the network of the settings for images of a data set, initialised from torch's global generator.

        Raises:
            UnknownNameError: when there is no such network.
            ValueError: when it cannot be for such images, or has no pretrained weights for so many classes.
        """
        from netdeconv import models

        entry, classes = models.architecture(config.arch), info.num_classes
        if config.pretrained:
            name = config.arch.removeprefix(models.IMAGENET)
            network = models.build_imagenet(name, num_classes=classes, pretrained=True)
        else:
            channels, size, _ = info.shape
            network = models.build(
                config.arch, num_classes=classes, in_channels=channels, width=config.width, image_size=size
            )
        return models.normalise(network, config.norm, entry)

    def mix(self, inputs: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Hide a square of every image; mix it and its label with another of the batch: where that was asked for."""
        if self.mixup == self.cutout == 0:
            return inputs, targets
        import torch
        from torchvision.transforms import v2  # only when it is needed: importing it takes a second

        if self.cutout:
            share = self.cutout**2 / inputs[0, 0].numel()
            erase = v2.RandomErasing(p=1, scale=(share, share), ratio=(1, 1))
            inputs = torch.stack([erase(image) for image in inputs])
        return v2.MixUp(alpha=self.mixup, num_classes=num_classes)(inputs, targets) if self.mixup else (inputs, targets)

    def compute_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean training loss of a batch."""
        from netdeconv.tasks.losses import LOSSES

        return LOSSES[self.loss](outputs, targets, self.label_smoothing)

    def meter(self, num_classes: int, device: torch.device) -> ClassificationMeter:
        """Return an empty meter of top-1 accuracy and mean loss, and of top-5 where there are many classes."""
        from netdeconv.tasks.losses import ClassificationMeter

        return ClassificationMeter(self.loss, num_classes, device)
