"""Networks of a few layers, which fit one size of images: one linear map, a perceptron, LeNet-5.

Source: Ye et al., "Network Deconvolution", for the linear map (with loss L2 linear regression, with cross entropy
logistic regression) and the perceptron of three hidden layers of 128 with sigmoids, after Ioffe and Szegedy, 2015.
LeNet-5 with ReLU, max-pools and batch norm: LeCun et al., 1998; 28x28 images are padded as there, to 32x32.
"""

from __future__ import annotations

from torch import nn

from netdeconv.models.blocks import scaled
from netdeconv.models.entry import Architecture


def linear(*, num_classes: int, in_channels: int, width: float = 1.0, image_size: int = 32) -> nn.Sequential:
    """Build the map as a linear layer on all pixels; there are no channels that ``width`` could scale."""
    del width
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))


def conv(*, num_classes: int, in_channels: int, width: float = 1.0, image_size: int = 32) -> nn.Sequential:
    """Build the same map as one convolution, its kernel as large as the image; see :func:`linear`."""
    del width
    return nn.Sequential(nn.Conv2d(in_channels, num_classes, image_size), nn.Flatten())


def mlp(*, num_classes: int, in_channels: int, width: float = 1.0, image_size: int = 32) -> nn.Sequential:
    """Build the perceptron, with batch norm before every sigmoid."""
    hidden = scaled(128, width)
    features = in_channels * image_size * image_size
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(3):
        layers += [nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.Sigmoid()]
        features = hidden
    return nn.Sequential(*layers, nn.Linear(features, num_classes))


def lenet(*, num_classes: int, in_channels: int, width: float = 1.0, image_size: int = 32) -> nn.Sequential:
    """Build LeNet-5 for images of at least 12x12 pixels.

    Raises:
        ValueError: when the images are too small for its two convolutions and poolings.
    """
    if image_size < 12:
        raise ValueError(f"lenet needs images of at least 12x12 pixels, got {image_size}x{image_size}")
    padding = 2 if image_size <= 28 else 0
    first, second, third, fourth = (scaled(channels, width) for channels in (6, 16, 120, 84))
    side = ((image_size + 2 * padding - 4) // 2 - 4) // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, first, 5, padding=padding),
        nn.BatchNorm2d(first),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5),
        nn.BatchNorm2d(second),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * side * side, third),
        nn.BatchNorm1d(third),
        nn.ReLU(inplace=True),
        nn.Linear(third, fourth),
        nn.BatchNorm1d(fourth),
        nn.ReLU(inplace=True),
        nn.Linear(fourth, num_classes),
    )


ENTRIES = {
    "linear": Architecture(
        build=linear, sized=True, description="one linear layer", source="linear and logistic regression"
    ),
    "conv": Architecture(
        build=conv,
        sized=True,
        # Its only layer learns as other networks' last layers do: few steps, whitened anew in every one.
        stem_steps=5,
        stem_freeze=False,
        description="one convolution with a kernel as large as the image",
        source="linear and logistic regression",
    ),
    "mlp": Architecture(
        build=mlp,
        sized=True,
        description="three hidden linear layers of 128, sigmoid",
        source="Ioffe and Szegedy 2015",
    ),
    "lenet": Architecture(
        build=lenet,
        sized=True,
        description="LeNet-5: two 5x5 convolutions, three linear layers",
        source="LeCun et al. 1998",
    ),
}
