"""DenseNet-121 for small images, and the narrow one with the same blocks: a 3x3 stem without pooling.

Source: Huang et al., "Densely Connected Convolutional Networks", 2017, with bottlenecks and compression (BC).
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from netdeconv.models.blocks import assemble, classifier, scaled
from netdeconv.models.entry import Architecture, StemSettings

BLOCKS = (6, 12, 24, 16)
SOURCE = "Huang et al. 2017"


def bn_relu_conv(in_channels: int, out_channels: int, kernel_size: int) -> list[nn.Module]:
    """Return batch norm, ReLU and a same-padded convolution."""
    padding = kernel_size // 2
    return [
        nn.BatchNorm2d(in_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, bias=False),
    ]


class DenseLayer(nn.Module):
    """Appends ``growth`` channels to its input: 1x1 convolution to four times as many, 3x3 convolution.

    Args:
        in_channels: channels of the input.
        growth: channels that are added.
    """

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *bn_relu_conv(in_channels, 4 * growth, 1),
            *bn_relu_conv(4 * growth, growth, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return input and new channels."""
        return torch.cat((x, self.branch(x)), dim=1)


def densenet(
    growth: int,
    *,
    num_classes: int,
    in_channels: int,
    width: float = 1.0,
    image_size: int = 32,
) -> nn.Sequential:
    """Build a DenseNet with batch norm.

    Between two blocks a transition halves the channels with a 1x1 convolution, and the resolution with a 2x2
    average. The stem has no norm of its own: that of the first layer normalises its output.

    Args:
        growth: channels that every layer adds; the stem has twice as many.
        num_classes: outputs.
        in_channels: channels of the images.
        width: factor on ``growth``.
        image_size: not needed: all remaining positions are averaged.
    """
    del image_size
    growth = scaled(growth, width)
    channels = 2 * growth
    stem = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
    stages: list[nn.Module] = []
    for index, depth in enumerate(BLOCKS):
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers.append(DenseLayer(channels, growth))
            channels += growth
        if index < len(BLOCKS) - 1:
            # Rounding up keeps the last pixel of images that no power of two divides.
            layers += [*bn_relu_conv(channels, channels // 2, 1), nn.AvgPool2d(2, ceil_mode=True)]
            channels //= 2
        else:
            layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        stages.append(nn.Sequential(*layers))
    return assemble(stem, stages, classifier(channels, num_classes))


ENTRIES = {
    "densenet121": Architecture(
        build=functools.partial(densenet, 32),
        stem=StemSettings(),
        description="DenseNet-121 for small images, growth 32",
        source=SOURCE,
    ),
    "densenet_cifar": Architecture(
        build=functools.partial(densenet, 12),
        stem=StemSettings(),
        description="the blocks of DenseNet-121 with growth 12",
        source=SOURCE,
    ),
}
