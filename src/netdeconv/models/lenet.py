"""LeNet-5 with ReLU, max-pools and batch norm.

Source: LeCun et al., 1998; 28x28 images are padded as there, to 32x32.
"""

from __future__ import annotations

from torch import nn

from netdeconv.models.blocks import scaled
from netdeconv.models.entry import Architecture, StemSettings


def lenet(*, num_classes: int, in_channels: int, width: float = 1.0, image_size: int = 32) -> nn.Sequential:
    """Build LeNet-5 for images of at least 12x12 pixels.

    Raises:
        ValueError: when the images are too small for its two convolutions and poolings.
    """
    if image_size < 12:
        raise ValueError(f"lenet needs images of at least 12x12 pixels, got {image_size}x{image_size}")
    padding = 2 if image_size <= 28 else 0
    first, second, third, fourth = (scaled(channels, width) for channels in (6, 16, 120, 84))
    side = ((image_size + 2 * padding - 4) // 2 - 4) // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, first, 5, padding=padding),
        nn.BatchNorm2d(first),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5),
        nn.BatchNorm2d(second),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * side * side, third),
        nn.BatchNorm1d(third),
        nn.ReLU(inplace=True),
        nn.Linear(third, fourth),
        nn.BatchNorm1d(fourth),
        nn.ReLU(inplace=True),
        nn.Linear(fourth, num_classes),
    )


ENTRIES = {
    "lenet": Architecture(
        build=lenet,
        stem=StemSettings(),
        description="LeNet-5: two 5x5 convolutions, three linear layers",
        source="LeCun et al. 1998",
    )
}
