"""ResNet-18, 34, 50 and 101 for small images: a 3x3 stem of 64 channels, stride 1, without pooling.

Source: He et al., "Deep Residual Learning for Image Recognition", 2016, version 1.5: the 3x3 convolution of a
bottleneck has the stride.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from torch import nn

from netdeconv.models.blocks import Residual, assemble, classifier, conv_bn, conv_bn_relu, projection, scaled
from netdeconv.models.entry import Architecture, StemSettings

STAGE_CHANNELS = (64, 128, 256, 512)
STAGE_STRIDES = (1, 2, 2, 2)
SOURCE = "He et al. 2016"

Branch = Callable[[int, int, int], tuple[nn.Sequential, int]]


def basic(in_channels: int, channels: int, stride: int) -> tuple[nn.Sequential, int]:
    """Return the branch of two 3x3 convolutions, and its output channels."""
    layers = [*conv_bn_relu(in_channels, channels, stride=stride), *conv_bn(channels, channels)]
    return nn.Sequential(*layers), channels


def bottleneck(in_channels: int, channels: int, stride: int) -> tuple[nn.Sequential, int]:
    """Return the branch of 1x1, 3x3 and 1x1 convolutions, and its output channels: four times as many."""
    layers = [
        *conv_bn_relu(in_channels, channels, 1),
        *conv_bn_relu(channels, channels, stride=stride),
        *conv_bn(channels, 4 * channels, 1),
    ]
    return nn.Sequential(*layers), 4 * channels


def resnet(
    depths: Sequence[int],
    branch: Branch,
    *,
    num_classes: int,
    in_channels: int,
    width: float = 1.0,
    image_size: int = 32,
) -> nn.Sequential:
    """Build a ResNet with batch norm.

    Args:
        depths: blocks of every stage.
        branch: :func:`basic` or :func:`bottleneck`.
        num_classes: outputs.
        in_channels: channels of the images.
        width: factor on all channels.
        image_size: not needed: all remaining positions are averaged.
    """
    del image_size
    in_stage = scaled(64, width)
    stem = nn.Sequential(*conv_bn_relu(in_channels, in_stage))
    stages: list[nn.Module] = []
    for depth, channels, stage_stride in zip(depths, STAGE_CHANNELS, STAGE_STRIDES, strict=True):
        blocks = []
        for index in range(depth):
            stride = stage_stride if index == 0 else 1
            layers, out_channels = branch(in_stage, scaled(channels, width), stride)
            blocks.append(Residual(layers, projection(in_stage, out_channels, stride=stride)))
            in_stage = out_channels
        stages.append(nn.Sequential(*blocks))
    return assemble(stem, stages, classifier(in_stage, num_classes))


DEPTHS: dict[str, tuple[tuple[int, int, int, int], Branch]] = {
    "18": ((2, 2, 2, 2), basic),
    "34": ((3, 4, 6, 3), basic),
    "50": ((3, 4, 6, 3), bottleneck),
    "101": ((3, 4, 23, 3), bottleneck),
}

ENTRIES = {
    f"resnet{number}": Architecture(
        build=functools.partial(resnet, depths, branch),
        stem=StemSettings(),
        description=f"ResNet-{number} for small images",
        source=SOURCE,
    )
    for number, (depths, branch) in DEPTHS.items()
}
