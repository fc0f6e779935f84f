"""Whitened transposed convolution: the channels of its input pixels are whitened by way of the weight."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from netdeconv.linalg import Grouping, PatchGeometry
from netdeconv.nn.functional import Statistics, batch_statistics, rescaled_statistics
from netdeconv.nn.weighted import WeightedWhitenedLayer, compute_dtype
from netdeconv.nn.whitening import Whitening


class WhitenedConvTranspose2d(WeightedWhitenedLayer, nn.ConvTranspose2d):
    r"""Transposed convolution of a whitened input.

    A transposed convolution is a linear map of one input pixel's channels to k k outputs: its patches are pixels, and
    every structure whitens channels. The response to the mean differs between output phases where the kernel is no
    multiple of the stride; its average, :math:`\sum_{taps} \mu D w / stride^2`, is taken from the bias, so that the
    folded layer is a plain one.

    Args:
        in_channels: C, channels of the input.
        out_channels: channels of the output.
        kernel_size: taps.
        stride: distance of the outputs of neighbouring input pixels.
        padding: rows and columns taken from each side of the output.
        output_padding: rows and columns added to one side.
        groups: torch's groups; each has a whitening matrix of its own.
        bias: whether a learned bias is added.
        dilation: distance of the taps.
        padding_mode: only ``"zeros"``, as torch.
        device: of parameters and statistics.
        dtype: of the parameters; statistics are float32 or wider.
        whitening: a :class:`Whitening`, or None for its defaults.

    Shapes:
        as torch's: (N, C, H, W) or (C, H, W). Buffers ``running_mean`` (G, B), ``running_whitening`` (G, B, B).

    Raises:
        ValueError: in training when fewer than two pixels can be sampled.

    Numerics:
        As :class:`WhitenedConv2d`.

    Source:
        Not in the paper, which has no transposed convolutions.

    Example:
        >>> WhitenedConvTranspose2d(8, 4, 2, stride=2)(torch.randn(2, 8, 5, 5)).shape
        torch.Size([2, 4, 10, 10])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        output_padding: int | tuple[int, int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, int] = 1,
        padding_mode: Literal["zeros"] = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        whitening: Whitening | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            groups,
            bias,
            dilation,
            padding_mode,
            device,
            dtype,
        )
        whitening = whitening or Whitening()
        grouping = Grouping.of(
            self.in_channels,
            self.groups,
            whitening.group_size,
            interleaved=whitening.layout != "blocks",
            common_divisor=whitening.layout == "reference",
        )
        self._pixels = PatchGeometry((1, 1), (whitening.sampling_stride,) * 2, ((0, 0),) * 2, (1, 1))
        self._register_statistics(grouping, 1, whitening, self.weight, full=False)

    def _prepare(self, input: Tensor) -> Tensor:
        x = input.to(compute_dtype(input))
        return x.unsqueeze(0) if x.dim() == 3 else x

    def _sampling(self, x: Tensor) -> PatchGeometry:
        """Pixels to sample: all where the sampling stride leaves too few."""
        if self._sharing:  # all ranks sample alike, however few rows one of them has
            return self._pixels
        every = PatchGeometry((1, 1), (1, 1), ((0, 0),) * 2, (1, 1))
        for pixels in (self._pixels, every):
            if pixels.num_samples(x.shape) * self.num_groups >= 2:
                return pixels
        raise ValueError(
            f"whitening needs at least two sampled pixels in training, got input {tuple(x.shape)}: "
            "use a larger batch or input, or evaluation mode"
        )

    def _batch_statistics(self, x: Tensor) -> tuple[Tensor, Statistics]:
        pixels = self._sampling(x)
        return batch_statistics(x, pixels, pixels, self.grouping, self.whitening, exclusive=True, **self._sharing)

    def _rescaled_statistics(self, x: Tensor, held: Statistics) -> tuple[Tensor, Statistics]:
        return rescaled_statistics(
            x, held, self._sampling(x), self.grouping, self.whitening, exclusive=True, **self._sharing
        )

    def _weight_rows(self, weight: Tensor) -> Tensor:
        """(C, O, k, k) to (G O k k, C/G, 1)."""
        grouped: Tensor = weight.unflatten(0, (self.groups, -1))
        return grouped.flatten(2).transpose(1, 2).flatten(0, 1).unsqueeze(2)

    def _from_rows(self, rows: Tensor) -> Tensor:
        grouped: Tensor = rows.squeeze(2).unflatten(0, (self.groups, -1))
        return grouped.transpose(1, 2).reshape(self.weight.shape)

    def _reduce_response(self, response: Tensor) -> Tensor:
        return response.view(-1, math.prod(self.kernel_size)).sum(1) / math.prod(self.stride)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Transposed convolution of the whitened input; shapes as torch's."""
        stride, dilation, kernel = list(self.stride), list(self.dilation), list(self.kernel_size)
        padding = [before for before in self.padding if isinstance(before, int)]
        output_padding = self._output_padding(input, output_size, stride, padding, kernel, 2, dilation)
        x, weight, bias = self._effective(self._prepare(input))
        with torch.autocast(x.device.type, enabled=False):
            y = torch.conv_transpose2d(x, weight, bias, stride, padding, output_padding, self.groups, dilation)
        return y.squeeze(0) if input.dim() == 3 else y

    def extra_repr(self) -> str:
        """Torch's description, then the whitening's."""
        return f"{super().extra_repr()}, {self._extra_repr()}"  # type: ignore[no-untyped-call]
