"""Whitened transposed convolutions: the channels of their input pixels are whitened by way of the weight."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from netdeconv.linalg import PatchGeometry
from netdeconv.nn.layer import WeightedWhitenedLayer, batched
from netdeconv.nn.whitening import Whitening

_TEXT = r"""

    A transposed convolution is a linear map of one input pixel's channels to outputs of all taps: its patches are
    pixels, and every structure whitens channels. The response to the mean differs between output phases where the
    kernel is no multiple of the stride; its average, :math:`\sum_{taps} \mu D w / \prod stride`, is taken from the
    bias, so that the folded layer is a plain one.

    Args:
        in_channels: C, channels of the input.
        out_channels: channels of the output.
        kernel_size: taps.
        stride: distance of the outputs of neighbouring input pixels.
        padding: rows taken from each side of the output.
        output_padding: rows added to one side.
        groups: torch's groups; each has a whitening matrix of its own.
        bias: whether a learned bias is added.
        dilation: distance of the taps.
        padding_mode: only ``"zeros"``, as torch.
        device: of parameters and statistics.
        dtype: of the parameters; statistics are float32 or wider.
        whitening: a :class:`Whitening`, or None for its defaults.

    Shapes:
        as torch's, unbatched input included. Buffers of ``statistics``: ``running_mean`` (G, B),
        ``running_whitening`` (G, B, B).

    Raises:
        TypeError: when the input is not of real floating-point numbers.
        ValueError: for another number of dimensions or channels. A single pixel is whitened as in evaluation.

    Numerics:
        As :class:`WhitenedConv2d`.

    Source:
        Not in the paper, which has no transposed convolutions.
"""


class _WhitenedConvTransposeNd(WeightedWhitenedLayer, _ConvTransposeNd):
    """The part that does not depend on the number of dimensions."""

    _convolution: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        output_padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, ...] = 1,
        padding_mode: Literal["zeros"] = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        whitening: Whitening | None = None,
    ) -> None:
        plain: Any = super().__init__  # of torch's layer of so many dimensions
        sizes = (kernel_size, stride, padding, output_padding)
        plain(in_channels, out_channels, *sizes, groups, bias, dilation, padding_mode, device, dtype)
        axes = len(self.kernel_size)
        pixels = PatchGeometry((1,) * axes, (1,) * axes, ((0, 0),) * axes, (1,) * axes)
        self._whiten_input(pixels, self.in_channels, self.groups, whitening)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Transposed convolution of the whitened input; shapes as torch's."""
        x = self._prepare(input)
        x, mean, matrix = self.statistics(x, frozen=self.frozen)
        x, weight, bias = self._whiten(x, mean, matrix)
        y = self._convolve(x, weight, bias, self._extra(input, output_size))
        return y.squeeze(0) if input.dim() < x.dim() else y

    def _prepare(self, input: Tensor) -> Tensor:
        return batched(input, len(self.kernel_size), self.in_channels, type(self).__name__)

    def _extra(self, input: Tensor, output_size: list[int] | None) -> list[int]:
        """Torch's rule for the output padding."""
        sizes = [list(pair) for pair in (self.stride, self.padding, self.kernel_size, self.dilation)]
        stride, padding, kernel, dilation = sizes
        axes = len(kernel)
        return self._output_padding(input, output_size, stride, padding, kernel, axes, dilation)  # type: ignore[arg-type]

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor, extra: list[int]) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return type(self)._convolution(
                x, weight, bias, self.stride, self.padding, extra, self.groups, self.dilation
            )

    def _weight_rows(self, weight: Tensor) -> Tensor:
        """(C, O, taps) to (G O taps, C/G, 1)."""
        grouped: Tensor = weight.unflatten(0, (self.groups, -1))
        return grouped.flatten(2).transpose(1, 2).flatten(0, 1).unsqueeze(2)

    def _from_rows(self, rows: Tensor) -> Tensor:
        grouped: Tensor = rows.squeeze(2).unflatten(0, (self.groups, -1))
        return grouped.transpose(1, 2).reshape(self.weight.shape)

    def _reduce_response(self, response: Tensor) -> Tensor:
        return response.view(-1, math.prod(self.kernel_size)).sum(1) / math.prod(self.stride)


class WhitenedConvTranspose1d(_WhitenedConvTransposeNd, nn.ConvTranspose1d):  # noqa: D101 (assigned)
    __doc__ = "1-dimensional transposed convolution of a whitened input, (N, C, L)." + _TEXT
    _convolution = torch.conv_transpose1d


class WhitenedConvTranspose2d(_WhitenedConvTransposeNd, nn.ConvTranspose2d):  # noqa: D101 (assigned)
    __doc__ = (
        "2-dimensional transposed convolution of a whitened input, (N, C, H, W)."
        + _TEXT
        + """
    Example:
        >>> WhitenedConvTranspose2d(8, 4, 2, stride=2)(torch.randn(2, 8, 5, 5)).shape
        torch.Size([2, 4, 10, 10])
"""
    )
    _convolution = torch.conv_transpose2d


class WhitenedConvTranspose3d(_WhitenedConvTransposeNd, nn.ConvTranspose3d):  # noqa: D101 (assigned)
    __doc__ = "3-dimensional transposed convolution of a whitened input, (N, C, D, H, W)." + _TEXT
    _convolution = torch.conv_transpose3d
