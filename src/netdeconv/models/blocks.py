"""Pieces that several networks share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import Tensor, nn


def scaled(channels: int, width: float) -> int:
    """Return ``channels`` times ``width``, rounded, at least 1."""
    return max(1, round(channels * width))


def conv_bn(
    in_channels: int, out_channels: int, kernel_size: int = 3, *, stride: int = 1, groups: int = 1, bias: bool = False
) -> list[nn.Module]:
    """Return a same-padded convolution and its batch norm, as a list to put into a Sequential."""
    padding = kernel_size // 2
    return [
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=bias),
        nn.BatchNorm2d(out_channels),
    ]


def conv_bn_relu(
    in_channels: int, out_channels: int, kernel_size: int = 3, *, stride: int = 1, groups: int = 1, bias: bool = False
) -> list[nn.Module]:
    """Return a same-padded convolution, its batch norm and a ReLU, as a list to put into a Sequential."""
    layers = conv_bn(in_channels, out_channels, kernel_size, stride=stride, groups=groups, bias=bias)
    return [*layers, nn.ReLU(inplace=True)]


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


class SqueezeExcitation(nn.Module):
    """Scales every channel by a number in (0, 1) that the averages of all channels decide.

    Args:
        channels: of the input.
        ratio: channels for each hidden unit.

    Source:
        Hu et al., "Squeeze-and-Excitation Networks", 2018.
    """

    def __init__(self, channels: int, ratio: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // ratio)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled input."""
        return x * self.gate(x)
