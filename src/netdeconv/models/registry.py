"""Networks by name, each with the data of its conversion to network deconvolution."""

from __future__ import annotations

from torch import nn

from netdeconv.lookup import look_up
from netdeconv.models import densenet, dpn, mobilenet, pnasnet, preact, resnet, small, vgg
from netdeconv.models.entry import IMAGENET, Architecture
from netdeconv.models.imagenet import imagenet_architecture

_HOMES = (small, vgg, resnet, preact, densenet, mobilenet, dpn, pnasnet)
ARCHITECTURES: dict[str, Architecture] = {name: own for home in _HOMES for name, own in home.ENTRIES.items()}


def list_names() -> list[str]:
    """Return the names of all networks."""
    return list(ARCHITECTURES)


def architecture(name: str) -> Architecture:
    """Return the entry of one network; ``imagenet/`` and a name of torchvision is one for ImageNet.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such network.
    """
    if name.startswith(IMAGENET):
        return imagenet_architecture(name.removeprefix(IMAGENET))
    return look_up("architecture", name, ARCHITECTURES)


def build(name: str, *, num_classes: int, in_channels: int, width: float = 1.0, image_size: int = 32) -> nn.Module:
    """Build a network with batch norm, freshly initialised from torch's global generator.

    Args:
        name: one of :func:`list_names`, or ``imagenet/`` and a name as :func:`build_imagenet` takes it.
        num_classes: outputs of the last layer.
        in_channels: channels of the images.
        width: factor on the number of channels of every layer, rounded to at least 1.
        image_size: height and width of the images.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such network.
        ValueError: when a number is out of range.

    Example:
        >>> build("lenet", num_classes=10, in_channels=1).__class__.__name__
        'Sequential'
    """
    entry = architecture(name)
    for setting, value in {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}.items():
        if value < 1:
            raise ValueError(f"{setting} must be at least 1, got {value}")
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}")
    size = {"image_size": image_size} if entry.sized else {}
    return entry.build(num_classes=num_classes, in_channels=in_channels, width=width, **size)
