"""One linear map from the image to the outputs: with loss L2 linear regression, with cross entropy logistic regression.

Source: the single-layer experiments of Ye et al., "Network Deconvolution".
"""

from __future__ import annotations

from torch import nn

from netdeconv.models.entry import Architecture, StemSettings


def linear(*, num_classes: int, in_channels: int, width: float = 1.0, image_size: int = 32) -> nn.Sequential:
    """Build the map as a linear layer on all pixels; there are no channels that ``width`` could scale."""
    del width
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))


def conv(*, num_classes: int, in_channels: int, width: float = 1.0, image_size: int = 32) -> nn.Sequential:
    """Build the same map as one convolution, its kernel as large as the image; see :func:`linear`."""
    del width
    return nn.Sequential(nn.Conv2d(in_channels, num_classes, image_size), nn.Flatten())


SOURCE = "linear and logistic regression"

ENTRIES = {
    "linear": Architecture(build=linear, stem=None, description="one linear layer", source=SOURCE),
    "conv": Architecture(
        build=conv,
        # Its only layer learns as other networks' last layers do: few steps, whitened anew in every one.
        stem=StemSettings(num_iterations=5, freeze=False),
        description="one convolution with a kernel as large as the image",
        source=SOURCE,
    ),
}
