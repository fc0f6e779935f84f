"""Networks by name, each with the data of its conversion to network deconvolution."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import nn

from netdeconv.lookup import look_up
from netdeconv.models.lenet import lenet
from netdeconv.models.mlp import mlp
from netdeconv.models.vgg import VGG_STAGES, vgg


@dataclasses.dataclass(frozen=True, kw_only=True)
class StemSettings:
    """How the published experiments whiten the input of a network's first convolution.

    Args:
        num_iterations: Newton-Schulz steps; more than elsewhere, as neighbouring pixels are
            the most correlated input a network has.
        freeze: whether its whitening is held constant most of the time.
    """

    num_iterations: int = 15
    freeze: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """One network: how to build it, and what its conversion needs to know.

    Args:
        build: makes the network with batch norm, from plain torch layers.
        stem: settings of its first convolution; ``None`` when it has no convolution.
        description: one line for ``netdeconv list archs``.
    """

    build: Callable[..., nn.Module]
    stem: StemSettings | None
    description: str


def _vgg_of(name: str) -> Callable[..., nn.Module]:
    def build(**settings: int | float) -> nn.Module:
        return vgg(VGG_STAGES[name], **settings)  # type: ignore[arg-type]

    return build


ARCHITECTURES: dict[str, Architecture] = {
    **{
        name: Architecture(build=_vgg_of(name), stem=StemSettings(), description=f"VGG-{name[3:]} for small images")
        for name in VGG_STAGES
    },
    "lenet": Architecture(build=lenet, stem=StemSettings(), description="two 5x5 convolutions, three linear layers"),
    "mlp": Architecture(build=mlp, stem=None, description="three hidden linear layers of 128, sigmoid"),
}


def list_names() -> list[str]:
    """Return the names of all networks."""
    return list(ARCHITECTURES)


def architecture(name: str) -> Architecture:
    """Return the entry of one network.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such network.
    """
    return look_up("architecture", name, ARCHITECTURES)


def build(name: str, *, num_classes: int, in_channels: int, width: float = 1.0, image_size: int = 32) -> nn.Module:
    """Build a network with batch norm, freshly initialised from torch's global generator.

    Args:
        name: one of :func:`list_names`.
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
    for setting, value in (
        ("num_classes", num_classes),
        ("in_channels", in_channels),
        ("image_size", image_size),
    ):
        if value < 1:
            raise ValueError(f"{setting} must be at least 1, got {value}")
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}")
    return entry.build(num_classes=num_classes, in_channels=in_channels, width=width, image_size=image_size)
