"""The multilayer perceptron of the paper's MNIST experiment: three hidden layers of 128, sigmoid.

Source: Ye et al., "Network Deconvolution"; after Ioffe and Szegedy, 2015.
"""

from __future__ import annotations

from torch import nn

from netdeconv.models.blocks import scaled
from netdeconv.models.entry import Architecture


def mlp(*, num_classes: int, in_channels: int, width: float = 1.0, image_size: int = 32) -> nn.Sequential:
    """Build the perceptron, with batch norm before every sigmoid."""
    hidden = scaled(128, width)
    features = in_channels * image_size * image_size
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(3):
        layers += [nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.Sigmoid()]
        features = hidden
    return nn.Sequential(*layers, nn.Linear(features, num_classes))


ENTRIES = {
    "mlp": Architecture(
        build=mlp,
        stem=None,
        description="three hidden linear layers of 128, sigmoid",
        source="Ioffe and Szegedy 2015",
    )
}
