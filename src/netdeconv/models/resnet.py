"""ResNet-18, 34, 50 and 101, and ResNeXt-29 32x4d, for small images: a stem of stride 1, without pooling.

Source: He et al., "Deep Residual Learning for Image Recognition", 2016, version 1.5: the 3x3 convolution of a
bottleneck has the stride. Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", 2017, in the
narrow form of the paper's CIFAR tables: 4, 8 and 16 channels for each of 32 groups, and twice the bottleneck's channels
out of a block.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from torch import nn

from netdeconv.models.blocks import (
    Residual,
    assemble,
    classifier,
    conv_bn,
    conv_bn_relu,
    projection,
    scaled,
    stages,
)
from netdeconv.models.entry import Architecture

STAGE_CHANNELS = (64, 128, 256, 512)
STAGE_STRIDES = (1, 2, 2, 2)


def basic(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return a block of two 3x3 convolutions."""
    branch = nn.Sequential(
        *conv_bn_relu(in_channels, out_channels, stride=stride), *conv_bn(out_channels, out_channels)
    )
    return Residual(branch, projection(in_channels, out_channels, stride=stride))


def bottleneck_branch(
    in_channels: int, channels: int, out_channels: int, *, stride: int, groups: int = 1
) -> nn.Sequential:
    """Return a branch of 1x1, 3x3 and 1x1 convolutions, the second in groups, without a ReLU at its end."""
    return nn.Sequential(
        *conv_bn_relu(in_channels, channels, 1),
        *conv_bn_relu(channels, channels, stride=stride, groups=groups),
        *conv_bn(channels, out_channels, 1),
    )


def bottleneck(in_channels: int, out_channels: int, stride: int, *, narrowing: int = 4, groups: int = 1) -> nn.Module:
    """Return a block of 1x1, 3x3 and 1x1 convolutions, with so many times fewer channels in the middle."""
    branch = bottleneck_branch(in_channels, out_channels // narrowing, out_channels, stride=stride, groups=groups)
    return Residual(branch, projection(in_channels, out_channels, stride=stride))


def resnet(
    depths: Sequence[int],
    block: Callable[[int, int, int], nn.Module],
    *,
    num_classes: int,
    in_channels: int,
    width: float = 1.0,
) -> nn.Sequential:
    """Build a ResNet with batch norm of so many blocks in every stage.

    The output of a :func:`bottleneck` has four times a stage's channels, that of a :func:`basic` block as many.
    """
    first, expansion = scaled(64, width), 1 if block is basic else 4
    channels = [expansion * scaled(each, width) for each in STAGE_CHANNELS]
    stem = nn.Sequential(*conv_bn_relu(in_channels, first))
    built, last = stages(first, list(zip(depths, channels, STAGE_STRIDES, strict=True)), block)
    return assemble(stem, built, classifier(last, num_classes))


def resnext29(*, num_classes: int, in_channels: int, width: float = 1.0) -> nn.Sequential:
    """Build ResNeXt-29 32x4d with batch norm; ``width`` scales the number of groups, which keep their channels."""
    groups, first = scaled(32, width), scaled(64, width)
    stem = nn.Sequential(*conv_bn_relu(in_channels, first, 1))
    block = functools.partial(bottleneck, narrowing=2, groups=groups)
    built, last = stages(first, [(3, groups * 8 * 2**index, stride) for index, stride in enumerate((1, 2, 2))], block)
    return assemble(stem, built, classifier(last, num_classes))


DEPTHS: dict[str, tuple[tuple[int, int, int, int], Callable[[int, int, int], nn.Module]]] = {
    "18": ((2, 2, 2, 2), basic),
    "34": ((3, 4, 6, 3), basic),
    "50": ((3, 4, 6, 3), bottleneck),
    "101": ((3, 4, 23, 3), bottleneck),
}

ENTRIES = {
    **{
        f"resnet{number}": Architecture(
            build=functools.partial(resnet, depths, block),
            description=f"ResNet-{number} for small images",
            source="He et al. 2016",
        )
        for number, (depths, block) in DEPTHS.items()
    },
    "resnext29_32x4d": Architecture(
        build=resnext29,
        stem_steps=10,
        grouped=3,
        description="ResNeXt-29, 32 groups of 4 channels",
        source="Xie et al. 2017",
    ),
}
