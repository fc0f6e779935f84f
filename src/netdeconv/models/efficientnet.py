"""EfficientNet-B0 in the early form for CIFAR that the paper's tables used.

Source: Tan and Le, "EfficientNet", 2019, from which this form differs: all depthwise convolutions are 3x3, the
activation is ReLU, squeeze-and-excitation follows the projection, every block of stride 1 has a shortcut, by a 1x1
convolution where the channels differ, and the linear layer takes the last block's 320 channels.
"""

from __future__ import annotations

from torch import nn

from netdeconv.models.blocks import assemble, classifier, conv_bn_relu, scaled
from netdeconv.models.entry import Architecture
from netdeconv.models.mobilenet import Stage, inverted_stages

STAGES = (
    Stage(1, 16, 1, 2),
    Stage(6, 24, 2, 1),
    Stage(6, 40, 2, 2),
    Stage(6, 80, 3, 2),
    Stage(6, 112, 3, 1),
    Stage(6, 192, 4, 2),
    Stage(6, 320, 1, 2),
)


def efficientnet_b0(*, num_classes: int, in_channels: int, width: float = 1.0) -> nn.Sequential:
    """Build EfficientNet-B0 with batch norm."""
    first = scaled(32, width)
    stem = nn.Sequential(*conv_bn_relu(in_channels, first))
    stages, channels = inverted_stages(first, STAGES, width=width, squeeze=True)
    return assemble(stem, stages, classifier(channels, num_classes))


ENTRIES = {
    "efficientnet_b0": Architecture(
        build=efficientnet_b0,
        stem_steps=10,
        # MobileNetV2's; and the gates see one pixel of every image, too few rows for more.
        depthwise=1,
        named={"*.project": 1, "*.gate": 1},
        description="EfficientNet-B0, an early form for CIFAR",
        source="Tan and Le 2019",
    )
}
