"""VGG-11, 13, 16 and 19 for small images: 3x3 convolutions, five max-pools, one linear layer.

Source: Simonyan and Zisserman, 2015, with the single linear layer common for CIFAR.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from torch import nn

from netdeconv.models.blocks import conv_bn_relu, scaled
from netdeconv.models.entry import Architecture

# Convolutions of every stage; a stage ends with a max-pool.
VGG_STAGES: dict[str, tuple[tuple[int, int], ...]] = {
    name: tuple(zip(depths, (64, 128, 256, 512, 512), strict=True))
    for name, depths in {
        "vgg11": (1, 1, 2, 2, 2),
        "vgg13": (2, 2, 2, 2, 2),
        "vgg16": (2, 2, 3, 3, 3),
        "vgg19": (2, 2, 4, 4, 4),
    }.items()
}


def vgg(
    stages: Sequence[tuple[int, int]],
    *,
    num_classes: int,
    in_channels: int,
    width: float = 1.0,
) -> nn.Sequential:
    """Build a VGG with batch norm, of the number of convolutions and the channels of every stage."""
    layers: list[nn.Module] = []
    channels = in_channels
    for depth, stage_channels in stages:
        for _ in range(depth):
            layers += conv_bn_relu(channels, scaled(stage_channels, width), bias=True)
            channels = scaled(stage_channels, width)
        # Rounding up makes no difference at 32x32 and lets 28x28 through all five.
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


ENTRIES = {
    name: Architecture(
        build=functools.partial(vgg, stages),
        description=f"VGG-{name[3:]} for small images",
        source="Simonyan and Zisserman 2015",
    )
    for name, stages in VGG_STAGES.items()
}
