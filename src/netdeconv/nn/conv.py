"""Whitened convolutions: torch's, whose input patches are whitened by way of the weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from netdeconv.linalg import PatchGeometry
from netdeconv.nn.layer import WeightedWhitenedLayer, batched
from netdeconv.nn.whitening import Whitening

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]

_SECTIONS = """

    Args:
        in_channels: C, channels of the input.
        out_channels: channels of the output.
        kernel_size: taps, a number or one for each axis.
        stride: of the output positions.
        padding: a number, one for each axis, ``"valid"`` or ``"same"``.
        dilation: distance of the taps.
        groups: torch's groups; each has a whitening matrix of its own.
        bias: whether a learned bias is added.
        padding_mode: what lies outside the input. Zeros take part in the statistics, as published.
        device: of parameters and statistics.
        dtype: of the parameters; statistics are float32 or wider.
        whitening: a :class:`Whitening`, or None for its defaults.

    Shapes:
        as torch's, unbatched input included. Buffers of ``statistics``: ``running_mean`` (G, D),
        ``running_whitening`` (G, D, D), with G = ``groups``.

    Raises:
        TypeError: when the input is not of real floating-point numbers.
        ValueError: for another number of dimensions or channels; in training when the kernel is larger than the
            input. A single sampled patch is whitened as in evaluation.

    Numerics:
        Rows are sampled from the input as the convolution reads it (autocast's dtype). Sums, statistics and inverse
        roots are float32 or wider, outside autocast, and so is the product of D and the weight, cast last; for
        bfloat16 input and up to seven iterations it has bfloat16 factors, and so has, on processors, the covariance.

    Source:
        Ye et al., "Network Deconvolution", ICLR 2020. Differences: docs/differences-from-reference.md.
"""


class _WhitenedConvNd(WeightedWhitenedLayer, _ConvNd):
    """The part that does not depend on the number of dimensions."""

    _convolution: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: str | int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        whitening: Whitening | None = None,
    ) -> None:
        plain: Any = super().__init__  # of torch's layer of so many dimensions
        plain(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        axes = len(self.kernel_size)
        # torch keeps the padding of both sides, last axis first
        both = self._reversed_padding_repeated_twice
        sides = tuple((both[2 * axis], both[2 * axis + 1]) for axis in reversed(range(axes)))
        if self.padding_mode != "zeros":
            sides = ((0, 0),) * axes  # statistics see the input already padded
        geometry = PatchGeometry(self.kernel_size, self.stride, sides, self.dilation)
        self._whiten_input(geometry, self.in_channels, self.groups, whitening)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve the whitened input; shapes as torch's."""
        x = self._prepare(input)
        x, mean, matrix = self.statistics(x, frozen=self.frozen)
        x, weight, bias = self._whiten(x, mean, matrix)
        y = self._convolve(x, weight, bias)
        return y.squeeze(0) if input.dim() < x.dim() else y

    def _prepare(self, input: Tensor) -> Tensor:
        x = batched(input, len(self.kernel_size), self.in_channels, type(self).__name__)
        if self.padding_mode != "zeros":
            x = nn.functional.pad(x, self._reversed_padding_repeated_twice, mode=self.padding_mode)
        return x

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        stride, padding = self.stride, self.padding if self.padding_mode == "zeros" else 0
        if max(self.kernel_size) == 1 < max(stride):
            # torch 2.15 corrupts memory in backward of strided 1x1 convolutions with few channels (docs/conversion.md)
            if self.padding_mode == "zeros" and any(self._reversed_padding_repeated_twice):
                x = nn.functional.pad(x, self._reversed_padding_repeated_twice)
            every = (slice(None, None, step) for step in stride)
            x = x[(slice(None), slice(None), *every)]
            stride, padding = (1,) * len(stride), 0
        with torch.autocast(x.device.type, enabled=False):
            return type(self)._convolution(x, weight, bias, stride, padding, self.dilation, self.groups)

    def _weight_rows(self, weight: Tensor) -> Tensor:
        if weight.shape[1] == 1 == weight.stride(1):  # channels_last: flatten would give the gradient another stride
            return weight.movedim(1, -1).flatten(1, -2).transpose(1, 2)
        return weight.flatten(2)

    def _from_rows(self, rows: Tensor) -> Tensor:
        return rows.reshape(self.weight.shape)


class WhitenedConv1d(_WhitenedConvNd, nn.Conv1d):  # noqa: D101 (assigned)
    __doc__ = "1-dimensional convolution of whitened input patches, (N, C, L)." + _SECTIONS
    _convolution = torch.conv1d


class WhitenedConv2d(_WhitenedConvNd, nn.Conv2d):  # noqa: D101 (assigned)
    __doc__ = (
        "2-dimensional convolution of whitened input patches, (N, C, H, W)."
        + _SECTIONS
        + """
    Example:
        >>> layer = WhitenedConv2d(3, 8, 3, padding=1, whitening=Whitening(group_size=16))
        >>> layer(torch.randn(4, 3, 12, 12)).shape
        torch.Size([4, 8, 12, 12])
"""
    )
    _convolution = torch.conv2d


class WhitenedConv3d(_WhitenedConvNd, nn.Conv3d):  # noqa: D101 (assigned)
    __doc__ = "3-dimensional convolution of whitened input patches, (N, C, D, H, W)." + _SECTIONS
    _convolution = torch.conv3d
