"""MobileNetV2 and EfficientNet-B0 for small images: inverted bottlenecks, plain ReLU.

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, in the form of the paper's CIFAR
tables: stem and second stage have stride 1, the first block, too, has an expanding convolution, and every block of
stride 1 has a shortcut, by a 1x1 convolution where the channels differ. Tan and Le, "EfficientNet", 2019, in the early
form for CIFAR that the tables used: it has these blocks, all depthwise convolutions are 3x3, squeeze-and-excitation
follows the projection, and the linear layer takes the last block's 320 channels.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from netdeconv.models.blocks import (
    Residual,
    assemble,
    classifier,
    conv_bn,
    conv_bn_relu,
    projection,
    scaled,
    squeeze_excitation,
    stages,
)
from netdeconv.models.entry import Architecture


class Stage(NamedTuple):
    """One stage: factor of the expansion, output channels, blocks, stride of the first."""

    expansion: int
    channels: int
    depth: int
    stride: int


MOBILENET_V2 = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 1),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)


EFFICIENTNET_B0 = (
    Stage(1, 16, 1, 2),
    Stage(6, 24, 2, 1),
    Stage(6, 40, 2, 2),
    Stage(6, 80, 3, 2),
    Stage(6, 112, 3, 1),
    Stage(6, 192, 4, 2),
    Stage(6, 320, 1, 2),
)


def inverted_bottleneck(
    in_channels: int, out_channels: int, stride: int, *, expansion: int, squeeze: bool = False
) -> nn.Module:
    """Return a block: expanding 1x1, depthwise 3x3, projecting 1x1 convolution; no ReLU at its end.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: of the depthwise convolution; a block of stride 1 has a shortcut.
        expansion: channels of the depthwise convolution for each one of the input.
        squeeze: whether squeeze-and-excitation ends the branch.
    """
    channels = expansion * in_channels
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        expand=nn.Sequential(*conv_bn_relu(in_channels, channels, 1)),
        depthwise=nn.Sequential(*conv_bn_relu(channels, channels, stride=stride, groups=channels)),
        project=nn.Sequential(*conv_bn(channels, out_channels, 1)),
    )
    if squeeze:
        parts["squeeze"] = squeeze_excitation(out_channels)
    branch = nn.Sequential(parts)
    return branch if stride != 1 else Residual(branch, projection(in_channels, out_channels), nn.Identity())


def inverted_stages(
    channels: int, plan: Sequence[Stage], *, width: float, squeeze: bool = False
) -> tuple[list[nn.Module], int]:
    """Return stages of inverted bottlenecks, and their output channels."""
    built: list[nn.Module] = []
    for stage in plan:
        block = functools.partial(inverted_bottleneck, expansion=stage.expansion, squeeze=squeeze)
        own, channels = stages(channels, [(stage.depth, scaled(stage.channels, width), stage.stride)], block)
        built += own
    return built, channels


def mobilenet_v2(*, num_classes: int, in_channels: int, width: float = 1.0) -> nn.Sequential:
    """Build MobileNetV2 with batch norm."""
    first, last = scaled(32, width), scaled(1280, width)
    stem = nn.Sequential(*conv_bn_relu(in_channels, first))
    built, channels = inverted_stages(first, MOBILENET_V2, width=width)
    return assemble(stem, built, nn.Sequential(*conv_bn_relu(channels, last, 1), *classifier(last, num_classes)))


def efficientnet_b0(*, num_classes: int, in_channels: int, width: float = 1.0) -> nn.Sequential:
    """Build EfficientNet-B0 with batch norm."""
    first = scaled(32, width)
    stem = nn.Sequential(*conv_bn_relu(in_channels, first))
    built, channels = inverted_stages(first, EFFICIENTNET_B0, width=width, squeeze=True)
    return assemble(stem, built, classifier(channels, num_classes))


ENTRIES = {
    "mobilenet_v2": Architecture(
        build=mobilenet_v2,
        stem_steps=10,
        depthwise=1,
        named={"*.project": 1},
        description="MobileNetV2 for small images",
        source="Sandler et al. 2018",
    ),
    "efficientnet_b0": Architecture(
        build=efficientnet_b0,
        stem_steps=10,
        # MobileNetV2's; and the gates see one pixel of every image, too few rows for more.
        depthwise=1,
        named={"*.project": 1, "*.fc[12]": 1},
        description="EfficientNet-B0, an early form for CIFAR",
        source="Tan and Le 2019",
    ),
}
