"""What a network costs, counted without computing anything."""

from __future__ import annotations

import dataclasses

import torch
from torch.utils.flop_counter import FlopCounterMode

from netdeconv.models.registry import build


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """Size and work of a network with batch norm.

    Args:
        parameters: numbers that are learned.
        multiply_adds: multiplications with an addition in convolutions and linear layers, for one image.
    """

    parameters: int
    multiply_adds: int


def cost(name: str, *, num_classes: int = 10, in_channels: int = 3, width: float = 1.0, image_size: int = 32) -> Cost:
    """Return the cost of a network; it is built without memory for its parameters.

    Args:
        name: one of :func:`list_names`.
        num_classes: outputs.
        in_channels: channels of the images.
        width: factor on all channels.
        image_size: height and width of the images.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such network.
        ValueError: when a number is out of range.

    Example:
        >>> cost("linear", image_size=8)
        Cost(parameters=1930, multiply_adds=1920)
    """
    with torch.device("meta"), torch.no_grad():
        model = build(name, num_classes=num_classes, in_channels=in_channels, width=width, image_size=image_size).eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, in_channels, image_size, image_size))
    return Cost(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        multiply_adds=counter.get_total_flops() // 2,
    )
