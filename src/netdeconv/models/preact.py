"""ResNet-18 with pre-activation, and the same with squeeze-and-excitation (SENet-18), for small images.

Source: He et al., "Identity Mappings in Deep Residual Networks", 2016; Hu et al., "Squeeze-and-Excitation Networks",
2018. As in the paper's tables (their parameter counts say so), the stem keeps its batch norm and ReLU although the
first block begins with its own, and neither follows the last block.
"""

from __future__ import annotations

import functools

from torch import Tensor, nn

from netdeconv.models.blocks import assemble, classifier, conv_bn_relu, scaled, squeeze_excitation, stages
from netdeconv.models.entry import Architecture
from netdeconv.models.resnet import STAGE_CHANNELS, STAGE_STRIDES


class PreActivationBlock(nn.Module):
    """Batch norm and ReLU come before each 3x3 convolution; nothing follows the sum.

    Args:
        in_channels: channels of the input.
        channels: of the output.
        stride: of the first convolution; where it or the channels change the shape, the shortcut is a 1x1
            convolution of the activated input.
        squeeze: whether squeeze-and-excitation ends the branch.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, *, squeeze: bool) -> None:
        super().__init__()
        self.activate = nn.Sequential(nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True))
        self.branch = nn.Sequential(
            *conv_bn_relu(in_channels, channels, stride=stride),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            *([squeeze_excitation(channels)] if squeeze else []),
        )
        self.shortcut = None
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of branch and shortcut."""
        activated = self.activate(x)
        return self.branch(activated) + (x if self.shortcut is None else self.shortcut(activated))


def preact_resnet18(*, num_classes: int, in_channels: int, width: float = 1.0, squeeze: bool = False) -> nn.Sequential:
    """Build pre-activation ResNet-18 with batch norm; ``squeeze``: every block has squeeze-and-excitation."""
    first = scaled(64, width)
    stem = nn.Sequential(*conv_bn_relu(in_channels, first))
    plan = [
        (2, scaled(channels, width), stride) for channels, stride in zip(STAGE_CHANNELS, STAGE_STRIDES, strict=True)
    ]
    built, last = stages(first, plan, functools.partial(PreActivationBlock, squeeze=squeeze))
    return assemble(stem, built, classifier(last, num_classes))


ENTRIES = {
    "preact_resnet18": Architecture(
        build=preact_resnet18,
        stem_steps=10,
        description="ResNet-18 with pre-activation",
        source="He et al. 2016, identity mappings",
    ),
    "senet18": Architecture(
        build=functools.partial(preact_resnet18, squeeze=True),
        description="pre-activation ResNet-18 with squeeze-and-excitation",
        source="Hu et al. 2018",
    ),
}
