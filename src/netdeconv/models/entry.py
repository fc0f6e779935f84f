"""What the table of networks says of each: how to build it, and what its conversion needs to know."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from netdeconv.lookup import look_up

if TYPE_CHECKING:
    from torch import nn

IMAGENET = "imagenet/"  # before the names of torchvision's networks


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
        build: makes the network with batch norm, from plain torch layers; takes ``num_classes``, ``in_channels``,
            ``width``, a factor on all channels, and ``image_size`` by keyword.
        stem: settings of its first convolution; ``None`` when it has no convolution.
        description: one line for ``netdeconv list archs``.
        source: who described the network.
        grouped: Newton-Schulz steps of convolutions with groups of several channels; ``None``: as the others.
        depthwise: steps of convolutions with one input channel for each group; ``None``: as the others.
        named: steps of further layers, by a pattern of names as :func:`netdeconv.convert` takes it.
        published_select: what the published experiments converted, where that is not everything: the
            argument ``select`` of :func:`netdeconv.convert`.
    """

    build: Callable[..., nn.Module]
    stem: StemSettings | None
    description: str
    source: str
    grouped: int | None = None
    depthwise: int | None = None
    named: Mapping[str, int] = dataclasses.field(default_factory=dict)
    published_select: tuple[str, ...] | None = None


def split_name(kind: str, name: str, known: Iterable[str]) -> tuple[str, bool]:
    """Return the network that a name means, and whether a ``d`` at its end asks for the converted one.

    The published programs name converted networks so: ``resnet18d``, ``fcn_resnet50d``.

    Args:
        kind: of the network, for a message.
        name: a network's, or that and a ``d``.
        known: names of networks, none of which is another one with a ``d`` appended.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such network.

    Example:
        >>> split_name("network", "resnet18d", ["resnet18"])
        ('resnet18', True)
    """
    names = {each: each for each in known}
    if name not in names and name.endswith("d") and name[:-1] in names:
        return name[:-1], True
    return look_up(kind, name, names), False
