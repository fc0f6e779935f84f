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
class Architecture:
    """One network: how to build it, and what its conversion needs to know.

    Args:
        build: makes the network with batch norm, from plain torch layers; takes ``num_classes``, ``in_channels`` and
            ``width``, a factor on all channels, by keyword.
        description: one line for ``netdeconv list archs``.
        source: who described the network.
        sized: whether the network fits one size of images: ``build`` takes ``image_size``, too.
        stem_steps: Newton-Schulz steps of its first convolution where that is mostly frozen; more than elsewhere, as
            neighbouring pixels are the most correlated input a network has.
        stem_freeze: whether it is frozen there.
        grouped: steps of convolutions with groups of several channels; ``None``: as the others.
        depthwise: steps of convolutions with one input channel for each group; ``None``: as the others.
        named: steps of further layers, by a pattern of names as :func:`netdeconv.convert` takes it.
    """

    build: Callable[..., nn.Module]
    description: str
    source: str
    sized: bool = False
    stem_steps: int = 15
    stem_freeze: bool = True
    grouped: int | None = None
    depthwise: int | None = None
    named: Mapping[str, int] = dataclasses.field(default_factory=dict)


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
