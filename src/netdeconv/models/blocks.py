"""Pieces that several networks share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, SqueezeExcitation


def scaled(channels: int, width: float) -> int:
    """Return ``channels`` times ``width``, rounded, at least 1."""
    return max(1, round(channels * width))


def conv_bn_relu(in_channels: int, out_channels: int, kernel_size: int = 3, **settings: Any) -> list[nn.Module]:
    """Return torchvision's same-padded convolution, its batch norm and a ReLU, as a list to put into a Sequential."""
    return list(Conv2dNormActivation(in_channels, out_channels, kernel_size, **settings))


def conv_bn(in_channels: int, out_channels: int, kernel_size: int = 3, **settings: Any) -> list[nn.Module]:
    """Return the same without the ReLU."""
    return conv_bn_relu(in_channels, out_channels, kernel_size, activation_layer=None, **settings)


def projection(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Module:
    """Return a shortcut: 1x1 convolution and batch norm where the shapes differ, else nothing."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(*conv_bn(in_channels, out_channels, 1, stride=stride))


def classifier(channels: int, num_classes: int) -> nn.Sequential:
    """Return the global average over all positions and one linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


def stages(
    channels: int, plan: Sequence[tuple[int, int, int]], block: Callable[[int, int, int], nn.Module]
) -> tuple[list[nn.Module], int]:
    """Return stages of blocks, and their output channels.

    Args:
        channels: of the input.
        plan: of every stage its blocks, output channels, and the stride of the first block.
        block: makes one from its input channels, output channels and stride.
    """
    built: list[nn.Module] = []
    for depth, out_channels, stride in plan:
        blocks = []
        for index in range(depth):
            blocks.append(block(channels, out_channels, stride if index == 0 else 1))
            channels = out_channels
        built.append(nn.Sequential(*blocks))
    return built, channels


def assemble(stem: nn.Module, stages: list[nn.Module], head: nn.Module) -> nn.Sequential:
    """Return the network of three parts with the names ``stem``, ``stages`` and ``head``."""
    return nn.Sequential(OrderedDict(stem=stem, stages=nn.Sequential(*stages), head=head))


class Residual(nn.Module):
    """A branch added to a shortcut, then a ReLU.

    Args:
        branch: what learns the difference.
        shortcut: what brings the input to the branch's shape.
        activation: after the sum.
    """

    def __init__(self, branch: nn.Module, shortcut: nn.Module, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut
        self.activation = nn.ReLU(inplace=True) if activation is None else activation

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of the sum."""
        return self.activation(self.branch(x) + self.shortcut(x))


def squeeze_excitation(channels: int) -> nn.Module:
    """Return torchvision's gate, with a hidden unit for 16 channels: it scales each by what all their averages say.

    Source: Hu et al., "Squeeze-and-Excitation Networks", 2018.
    """
    return SqueezeExcitation(channels, max(1, channels // 16))
