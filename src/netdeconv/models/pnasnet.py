"""PNASNet with cell A for small images.

Source: Liu et al., "Progressive Neural Architecture Search", 2018, much simplified, as in the paper's CIFAR tables: a
separable convolution is one grouped convolution and its batch norm, and a cell sees the one before it only.
"""

from __future__ import annotations

from torch import nn

from netdeconv.models.blocks import Residual, assemble, classifier, conv_bn, conv_bn_relu, scaled
from netdeconv.models.entry import Architecture

CELLS_PER_STAGE = 6


def cell_a(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return cell A: a 7x7 convolution in which every input channel has its own outputs, plus a 3x3 maximum, ReLU."""
    separable = nn.Sequential(*conv_bn(in_channels, out_channels, 7, stride=stride, groups=in_channels))
    mixed = conv_bn(in_channels, out_channels, 1) if stride != 1 else []
    return Residual(separable, nn.Sequential(nn.MaxPool2d(3, stride, padding=1), *mixed))


def pnasnet_a(*, num_classes: int, in_channels: int, width: float = 1.0) -> nn.Sequential:
    """Build PNASNet-A with batch norm: three stages of six cells, a cell of stride 2 between two stages.

    The stem and the first stage have 44 channels; every further stage has twice as many."""
    channels = scaled(44, width)
    stem = nn.Sequential(*conv_bn_relu(in_channels, channels))
    stages: list[nn.Module] = []
    for index in range(3):
        cells = []
        if index > 0:
            cells.append(cell_a(channels, 2 * channels, 2))
            channels *= 2
        stages.append(nn.Sequential(*cells, *(cell_a(channels, channels, 1) for _ in range(CELLS_PER_STAGE))))
    return assemble(stem, stages, classifier(channels, num_classes))


ENTRIES = {
    "pnasnet_a": Architecture(
        build=pnasnet_a,
        stem_steps=10,
        description="PNASNet, cell A, 44 channels",
        source="Liu et al. 2018",
    ),
}
