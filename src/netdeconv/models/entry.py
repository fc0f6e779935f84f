"""What the table of networks says of each: how to build it, and what its conversion needs to know."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

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
        build: makes the network with batch norm, from plain torch layers; takes ``num_classes``,
            ``in_channels``, ``width`` and ``image_size`` by keyword.
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
