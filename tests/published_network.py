"""A small network of published layers, and random inputs in float64."""

from __future__ import annotations

import torch
from torch import nn

from netdeconv.published import Delinear, FastDeconv


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        FastDeconv(3, 8, 3, padding=1, n_iter=15, freeze=True),
        nn.ReLU(),
        FastDeconv(8, 12, 3, stride=2, groups=2, bias=False, block=4, eps=1e-3, momentum=0.2, sampling_stride=2),
        nn.ReLU(),
        FastDeconv(12, 8, 1, block=4),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        Delinear(32, 5, block=16),
    ).double()


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)
