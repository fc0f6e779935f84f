"""DPN-92 for small images: every block adds to one part of its channels and appends to the other.

Source: Chen et al., "Dual Path Networks", 2017, with a 3x3 stem of 64 channels, stride 1, without pooling.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from netdeconv.models.blocks import assemble, classifier, conv_bn, conv_bn_relu, scaled
from netdeconv.models.entry import Architecture
from netdeconv.models.resnet import bottleneck_branch

GROUPS = 32


class Stage(NamedTuple):
    """One stage: bottleneck channels for each group, channels added to, blocks, channels appended, stride."""

    group_channels: int
    residual: int
    depth: int
    dense: int
    stride: int


DPN92 = (Stage(3, 256, 3, 16, 1), Stage(6, 512, 4, 32, 2), Stage(12, 1024, 20, 24, 2), Stage(24, 2048, 3, 128, 2))


class DualPathBlock(nn.Module):
    """The first channels are a residual path, the others a dense one; ReLU after both.

    Args:
        in_channels: channels of the input.
        channels: of the bottleneck.
        residual: channels of the residual path.
        dense: channels that are appended.
        groups: of the 3x3 convolution.
        stride: of the first block of a stage; ``None`` for the others, whose input is taken as it is.
    """

    def __init__(
        self, in_channels: int, channels: int, residual: int, dense: int, *, groups: int, stride: int | None
    ) -> None:
        super().__init__()
        out_channels = residual + dense
        self.residual = residual
        self.branch = bottleneck_branch(in_channels, channels, out_channels, groups=groups, stride=stride or 1)
        self.shortcut: nn.Module = nn.Identity()
        if stride is not None:
            self.shortcut = nn.Sequential(*conv_bn(in_channels, out_channels, 1, stride=stride))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return residual path, dense path of the input, new channels."""
        before, new = self.shortcut(x), self.branch(x)
        summed = before[:, : self.residual] + new[:, : self.residual]
        return self.activation(torch.cat((summed, before[:, self.residual :], new[:, self.residual :]), dim=1))


def dpn92(*, num_classes: int, in_channels: int, width: float = 1.0) -> nn.Sequential:
    """Build DPN-92 with batch norm; ``width`` scales the number of groups, which keep their channels, and the paths."""
    groups, channels = scaled(GROUPS, width), scaled(64, width)
    stem = nn.Sequential(*conv_bn_relu(in_channels, channels))
    stages: list[nn.Module] = []
    for stage in DPN92:
        residual, dense = scaled(stage.residual, width), scaled(stage.dense, width)
        blocks = []
        for index in range(stage.depth):
            stride = stage.stride if index == 0 else None
            bottleneck = groups * stage.group_channels
            blocks.append(DualPathBlock(channels, bottleneck, residual, dense, groups=groups, stride=stride))
            # The first block's shortcut has a dense part, to which its branch appends.
            channels = residual + (index + 2) * dense
        stages.append(nn.Sequential(*blocks))
    return assemble(stem, stages, classifier(channels, num_classes))


ENTRIES = {
    "dpn92": Architecture(
        build=dpn92,
        stem_steps=10,
        description="DPN-92 for small images, 32 groups",
        source="Chen et al. 2017",
    )
}
