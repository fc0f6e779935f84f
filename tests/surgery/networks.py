"""Small networks for the surgery tests, with statistics as after some training."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["AfterActivation", "Preactivation", "Residual", "batches", "lived_in"]


class Residual(nn.Module):
    """Convolutions of several kinds, each followed by its norm; a plain shortcut; a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.body = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.Conv2d(8, 8, 3, padding=1, groups=8),
            nn.BatchNorm2d(8),
        )
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2, groups=2)
        self.up_norm = nn.BatchNorm2d(6, affine=False)
        self.dropout = nn.Dropout(0.5)
        self.hidden, self.hidden_norm = nn.Linear(6, 7), nn.BatchNorm1d(7)
        self.head = nn.Linear(7, 5)

    def forward(self, x):
        x = self.stem(x)
        x = torch.relu(x + self.body(x))
        x = torch.relu(self.up_norm(self.up(x))).mean((2, 3))
        return self.head(self.dropout(torch.relu(self.hidden_norm(self.hidden(x)))))


class Preactivation(nn.Module):
    """The stem's output is read by a norm and by a shortcut; the second norm follows a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.bn1, self.conv1 = nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.stem(x)
        y = self.conv1(self.act(self.bn1(x)))
        return x + self.conv2(self.act(self.bn2(y)))


class AfterActivation(nn.Module):
    """A norm that reads a convolution's output after an in-place activation: the same tensor object."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.bn = nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(6)

    def forward(self, x):
        return self.bn(self.act(self.conv(x)))


def batches(count: int = 3, size: int = 8) -> list[torch.Tensor]:
    """Correlated, shifted images: far from white."""
    mix = torch.tensor([[1.0, 0.5, 0.2], [0.0, 0.4, 0.3], [0.0, 0.0, 0.1]])
    return [torch.einsum("nchw,cd->ndhw", torch.randn(size, 3, 9, 9), mix) + 0.5 for _ in range(count)]


def lived_in(model: nn.Module) -> nn.Module:
    """The model, in evaluation mode, with norms that moved away from their start."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)) and module.affine:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.5)
    with torch.no_grad():
        for batch in batches():
            model.train()(batch)
    return model.eval()
