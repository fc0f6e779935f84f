"""Whitened layers of every kind with an input that fits, for tests over all of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import netdeconv.nn as nnd
from netdeconv.linalg import Eigen

KINDS: dict[str, tuple[type[nn.Module], tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "conv1d": (nnd.WhitenedConv1d, (4, 6, 3), (5, 4, 9), {"padding": 1}),
    "conv2d": (nnd.WhitenedConv2d, (4, 6, 3), (3, 4, 7, 6), {"padding": 1}),
    "conv2d strided": (nnd.WhitenedConv2d, (4, 6, (3, 2)), (4, 4, 8, 9), {"stride": (2, 1), "dilation": (1, 2)}),
    "conv2d grouped": (nnd.WhitenedConv2d, (4, 6, 3), (3, 4, 7, 6), {"groups": 2, "padding": "same"}),
    "conv2d depthwise": (nnd.WhitenedConv2d, (4, 4, 3), (3, 4, 7, 6), {"groups": 4, "padding": 1}),
    "conv2d circular": (
        nnd.WhitenedConv2d,
        (4, 6, 3),
        (3, 4, 7, 6),
        {"padding": (1, 2), "padding_mode": "circular", "bias": False},
    ),
    "conv2d 1x1": (nnd.WhitenedConv2d, (4, 6, 1), (3, 4, 7, 6), {}),
    "conv3d": (nnd.WhitenedConv3d, (4, 2, 2), (3, 4, 4, 4, 3), {}),
    "transposed": (
        nnd.WhitenedConvTranspose2d,
        (4, 6, 3),
        (3, 4, 5, 4),
        {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2},
    ),
    "transposed 1d": (nnd.WhitenedConvTranspose1d, (4, 3, 4), (5, 4, 9), {"stride": 3, "padding": 1}),
    "transposed 3d": (nnd.WhitenedConvTranspose3d, (5, 2, 2), (3, 5, 3, 3, 2), {"stride": (1, 2, 1)}),
    "conv2d padded blocks": (nnd.WhitenedConv2d, (5, 4, 2), (4, 5, 7, 6), {"stride": 2}),
    "conv2d 1x1 strided": (nnd.WhitenedConv2d, (4, 6, 1), (4, 4, 7, 6), {"stride": 2, "padding": 1}),
    "linear": (nnd.WhitenedLinear, (4, 3), (7, 4), {}),
    "linear sequence": (nnd.WhitenedLinear, (4, 3), (3, 4, 4), {"bias": False}),
    "channel map": (nnd.ChannelWhitening, (4,), (3, 4, 5, 4), {}),
    "channel vector": (nnd.ChannelWhitening, (4,), (9, 4), {}),
}
WEIGHTED = [kind for kind in KINDS if not kind.startswith("channel")]
PLAIN = {
    nnd.WhitenedConv1d: nn.Conv1d,
    nnd.WhitenedConv2d: nn.Conv2d,
    nnd.WhitenedConv3d: nn.Conv3d,
    nnd.WhitenedConvTranspose1d: nn.ConvTranspose1d,
    nnd.WhitenedConvTranspose2d: nn.ConvTranspose2d,
    nnd.WhitenedConvTranspose3d: nn.ConvTranspose3d,
    nnd.WhitenedLinear: nn.Linear,
}
SETTINGS = [
    nnd.Whitening(structure="full", group_size=2, sampling_stride=2, eps=1e-2, num_iterations=3),
    nnd.Whitening(structure="channel", group_size=2, sampling_stride=2, eps=1e-2, num_iterations=3),
    nnd.Whitening(structure="full", group_size=3, sampling_stride=2, eps=1e-2, root=Eigen()),
]


def setting_id(settings: nnd.Whitening) -> str:
    return f"{settings.structure}-{settings.group_size}"


def build(
    kind: str, settings: nnd.Whitening | None = None, dtype: torch.dtype = torch.float64, **changes: Any
) -> tuple[nn.Module, Tensor]:
    """A layer and an input for it."""
    layer, args, shape, kwargs = KINDS[kind]
    return layer(*args, **{**kwargs, **changes}, dtype=dtype, whitening=settings), torch.randn(shape, dtype=dtype)


def build_plain(kind: str, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """The plain layer with these parameters."""
    layer, args, _, kwargs = KINDS[kind]
    plain = PLAIN[layer](*args, **{**kwargs, "bias": bias is not None}, dtype=weight.dtype)
    plain.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
    return plain
