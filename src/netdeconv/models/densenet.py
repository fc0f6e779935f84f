"""DenseNet-121 for small images: torchvision's, with a 3x3 stem of stride 1 without pooling.

Source: Huang et al., "Densely Connected Convolutional Networks", 2017, with bottlenecks and compression (BC).
"""

from __future__ import annotations

from torch import nn
from torchvision.models import DenseNet

from netdeconv.models.blocks import scaled
from netdeconv.models.entry import Architecture


def densenet121(*, num_classes: int, in_channels: int, width: float = 1.0) -> nn.Module:
    """Build DenseNet-121 with batch norm. Every layer adds ``width`` times 32 channels; the stem has twice as many.

    The stem has no norm of its own: the first layer's normalises its output.
    """
    growth = scaled(32, width)
    network = DenseNet(growth, (6, 12, 24, 16), 2 * growth, num_classes=num_classes)
    features = network.features
    features.conv0 = nn.Conv2d(in_channels, 2 * growth, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(features.conv0.weight)  # as torchvision's other convolutions
    del features.norm0, features.relu0, features.pool0
    for module in network.modules():
        if isinstance(module, nn.AvgPool2d):
            module.ceil_mode = True  # keeps the last pixel of images that no power of two divides
    return network


ENTRIES = {
    "densenet121": Architecture(
        build=densenet121,
        description="DenseNet-121 for small images, growth 32",
        source="Huang et al. 2017, torchvision",
    )
}
