"""ResNeXt-29 32x4d for small images: a 1x1 stem, three stages of three bottlenecks with 32 groups.

Source: Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", 2017, in the narrow form of the
paper's CIFAR tables: 4, 8 and 16 channels for each group, and twice the bottleneck's channels out of a block.
"""

from __future__ import annotations

from torch import nn

from netdeconv.models.blocks import Residual, assemble, classifier, conv_bn, conv_bn_relu, projection, scaled
from netdeconv.models.entry import Architecture, StemSettings

DEPTHS = (3, 3, 3)
STRIDES = (1, 2, 2)


def grouped_bottleneck(
    in_channels: int, channels: int, out_channels: int, *, groups: int, stride: int
) -> nn.Sequential:
    """Return a branch of 1x1, grouped 3x3 and 1x1 convolutions, without a ReLU at its end."""
    return nn.Sequential(
        *conv_bn_relu(in_channels, channels, 1),
        *conv_bn_relu(channels, channels, stride=stride, groups=groups),
        *conv_bn(channels, out_channels, 1),
    )


def resnext29(*, num_classes: int, in_channels: int, width: float = 1.0, image_size: int = 32) -> nn.Sequential:
    """Build ResNeXt-29 32x4d with batch norm.

    Args:
        num_classes: outputs.
        in_channels: channels of the images.
        width: factor on the number of groups, so that groups keep their 4, 8 and 16 channels.
        image_size: not needed: all remaining positions are averaged.
    """
    del image_size
    groups, in_stage = scaled(32, width), scaled(64, width)
    stem = nn.Sequential(*conv_bn_relu(in_channels, in_stage, 1))
    stages: list[nn.Module] = []
    for index, (depth, stage_stride) in enumerate(zip(DEPTHS, STRIDES, strict=True)):
        channels = groups * 4 * 2**index
        blocks = []
        for block in range(depth):
            stride = stage_stride if block == 0 else 1
            branch = grouped_bottleneck(in_stage, channels, 2 * channels, groups=groups, stride=stride)
            blocks.append(Residual(branch, projection(in_stage, 2 * channels, stride=stride)))
            in_stage = 2 * channels
        stages.append(nn.Sequential(*blocks))
    return assemble(stem, stages, classifier(in_stage, num_classes))


ENTRIES = {
    "resnext29_32x4d": Architecture(
        build=resnext29,
        stem=StemSettings(num_iterations=10),
        grouped=3,
        description="ResNeXt-29, 32 groups of 4 channels",
        source="Xie et al. 2017",
    )
}
