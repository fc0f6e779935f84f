"""A network with every kind of layer that conversion tells apart, and what is left of it."""

from __future__ import annotations

from torch import nn

import netdeconv as nd
from netdeconv.nn import WhitenedLayer

SMALL = nd.Whitening(group_size=4)
OTHER = nd.Whitening(structure="channel", group_size=2)


class Block(nn.Module):
    """Convolution, norm, activation and a depthwise convolution with its norm, around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.act = nn.ReLU(inplace=True)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        return x + self.bn2(self.depthwise(self.act(self.bn(self.conv(x)))))


class Net(nn.Module):
    """A stem, two blocks, a grouped convolution with a group norm, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = Block(8)
        self.layer2 = Block(8)
        self.grouped = nn.Conv2d(8, 8, 1, groups=2)
        self.norm = nn.GroupNorm(2, 8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.layer2(self.layer1(self.bn1(self.conv1(x))))
        return self.fc(self.norm(self.grouped(x)).mean((2, 3)))


def types(model: nn.Module) -> dict[str, str]:
    return {name: type(module).__name__ for name, module in model.named_modules() if not [*module.children()]}


def whitened(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, WhitenedLayer)]


def norms(model: nn.Module) -> list[str]:
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)
    return [name for name, module in model.named_modules() if isinstance(module, kinds)]
