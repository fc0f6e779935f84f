"""PNASNet with cells A and B for small images.

Source: Liu et al., "Progressive Neural Architecture Search", 2018, much simplified, as in the paper's CIFAR tables: a
separable convolution is one grouped convolution and its batch norm, and a cell sees the one before it only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from netdeconv.models.blocks import Residual, assemble, classifier, conv_bn, conv_bn_relu, scaled
from netdeconv.models.entry import Architecture, StemSettings

CELLS_PER_STAGE = 6

Cell = Callable[[int, int, int], nn.Module]


def separable(in_channels: int, out_channels: int, kernel_size: int, stride: int) -> nn.Sequential:
    """Return a convolution in which every input channel has its own outputs, and batch norm."""
    return nn.Sequential(*conv_bn(in_channels, out_channels, kernel_size, stride=stride, groups=in_channels))


def pooling(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Return the maximum over 3x3 pixels, and a 1x1 convolution where the stride is not 1."""
    layers = conv_bn(in_channels, out_channels, 1) if stride != 1 else []
    return nn.Sequential(nn.MaxPool2d(3, stride, padding=1), *layers)


def cell_a(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return cell A: a 7x7 separable convolution plus the pooling, ReLU."""
    return Residual(separable(in_channels, out_channels, 7, stride), pooling(in_channels, out_channels, stride))


class CellB(nn.Module):
    """Cell B: 7x7 plus 3x3, beside 5x5 plus the pooling, merged by a 1x1 convolution.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output; twice as many where the stride is 2.
        stride: 1 or 2.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.left = Residual(
            separable(in_channels, out_channels, 7, stride), separable(in_channels, out_channels, 3, stride)
        )
        self.right = Residual(
            separable(in_channels, out_channels, 5, stride), pooling(in_channels, out_channels, stride)
        )
        self.merge = nn.Sequential(*conv_bn_relu(2 * out_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return both branches, merged."""
        return self.merge(torch.cat((self.left(x), self.right(x)), dim=1))


def pnasnet(
    cell: Cell,
    channels: int,
    *,
    num_classes: int,
    in_channels: int,
    width: float = 1.0,
    image_size: int = 32,
) -> nn.Sequential:
    """Build a PNASNet with batch norm: three stages of six cells, a cell of stride 2 between two stages.

    Args:
        cell: makes a cell from input channels, output channels and stride.
        channels: of the stem and the first stage; every further stage has twice as many.
        num_classes: outputs.
        in_channels: channels of the images.
        width: factor on all channels.
        image_size: not needed: all remaining positions are averaged.
    """
    del image_size
    channels = scaled(channels, width)
    stem = nn.Sequential(*conv_bn_relu(in_channels, channels))
    stages: list[nn.Module] = []
    for index in range(3):
        cells = []
        if index > 0:
            cells.append(cell(channels, 2 * channels, 2))
            channels *= 2
        stages.append(nn.Sequential(*cells, *(cell(channels, channels, 1) for _ in range(CELLS_PER_STAGE))))
    return assemble(stem, stages, classifier(channels, num_classes))


ENTRIES = {
    "pnasnet_a": Architecture(
        build=functools.partial(pnasnet, cell_a, 44),
        stem=StemSettings(num_iterations=10),
        description="PNASNet, cell A, 44 channels",
        source="Liu et al. 2018",
    ),
    "pnasnet_b": Architecture(
        build=functools.partial(pnasnet, CellB, 32),
        stem=StemSettings(num_iterations=10),
        description="PNASNet, cell B, 32 channels",
        source="Liu et al. 2018",
    ),
}
