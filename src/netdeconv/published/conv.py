"""FastDeconv: the published convolution whose weight is multiplied by a whitening matrix.

Letters: as in linalg/grouping.py.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from netdeconv.published.statistics import PublishedLayer, check, covariance_root, interleaved, move


class FastDeconv(PublishedLayer, nn.Conv2d):
    """The published whitened convolution, number for number.

    Args:
        in_channels: C, channels of the input.
        out_channels: channels of the output.
        kernel_size: taps.
        stride: of the output positions.
        padding: zeros around the input; they take part in the statistics.
        dilation: distance of the taps.
        groups: torch's groups; each has a matrix of its own, and no blocks.
        bias: whether a learned bias is added.
        eps: added to the covariance's diagonal.
        n_iter: Newton-Schulz steps.
        momentum: weight of the new batch in the running averages, which start at zero and at the identity.
        block: channels in a block; their greatest common divisor with C where it does not divide C.
        sampling_stride: statistics use every n-th output position; of a 1x1 kernel, every (n stride)^2-th row.
        freeze: hold the statistics constant in most steps.
        freeze_iter: statistics are computed in so many of every ten times as many steps.

    Shapes:
        as torch's. Buffers ``running_mean`` (G D,) and ``running_deconv`` (D, D), or (G, D, D) for several groups.

    Raises:
        ValueError: when a setting is out of range, with its name and value.

    Source:
        Ye et al., "Network Deconvolution", ICLR 2020, and the behaviour of its published code.

    Example:
        >>> FastDeconv(8, 4, 3, padding=1, block=4)(torch.randn(2, 8, 9, 9)).shape
        torch.Size([2, 4, 9, 9])
    """

    running_mean: Tensor
    running_deconv: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        eps: float = 1e-5,
        n_iter: int = 5,
        momentum: float = 0.1,
        block: int = 64,
        sampling_stride: int = 3,
        freeze: bool = False,
        freeze_iter: int = 100,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        check(eps, momentum, n_iter=n_iter, block=block, sampling_stride=sampling_stride, freeze_iter=freeze_iter)
        self.eps, self.n_iter, self.momentum = eps, n_iter, momentum
        self.sampling_stride, self.freeze, self.freeze_iter = sampling_stride, freeze, freeze_iter
        channels = in_channels // groups
        whole = groups > 1 or block > channels
        self.block = channels if whole else math.gcd(block, channels)
        self.num_blocks = channels // self.block
        self.counter = 0  # not saved with the weights, as published
        size = self.block * math.prod(self.kernel_size)
        matrix = torch.eye(size)
        self.register_buffer("running_mean", torch.zeros(groups * size))
        self.register_buffer("running_deconv", matrix if groups == 1 else matrix.repeat(groups, 1, 1))

    def forward(self, input: Tensor) -> Tensor:
        """Convolve the whitened input."""
        weight, bias = self.whitened_weight(*self._statistics(input))
        return nn.functional.conv2d(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def whitened_weight(self, mean: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """D w, and the bias b - mean D w, for a mean (G, D) and a matrix (G, D, D)."""
        weight = self.weight.flatten(1).unflatten(0, (self.groups, -1))  # G O C/G K
        whitened = interleaved(weight, self.num_blocks) @ matrix.unsqueeze(1)  # G O S D
        bias = -(whitened @ mean[:, None, :, None]).sum((-2, -1)).flatten()
        if self.bias is not None:
            bias = bias + self.bias
        return whitened.transpose(-1, -2).reshape(self.weight.shape), bias

    def running(self) -> tuple[Tensor, Tensor]:
        """Copies of the statistics of evaluation: mean (G, D) and matrix (G, D, D)."""
        size = self.running_deconv.shape[-1]
        return self.running_mean.clone().view(-1, size), self.running_deconv.clone().view(-1, size, size)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (G, D) and whitening matrix (G, D, D)."""
        if not self.training:
            return self.running()
        active = not self.freeze or self.counter % (10 * self.freeze_iter) < self.freeze_iter
        self.counter += 1
        if not active:
            return self.running()
        mean, matrix = covariance_root(self._rows(x), self.eps, self.n_iter)
        move(self.running_mean, mean, self.momentum)
        move(self.running_deconv, matrix, self.momentum)
        return mean, matrix

    def _rows(self, x: Tensor) -> Tensor:
        """Sampled rows of all blocks (G, n, D)."""
        if self.kernel_size == (1, 1):
            rows = x.movedim(1, -1).flatten(0, -2)[:: (self.stride[0] * self.sampling_stride) ** 2]
        else:
            step = tuple(self.sampling_stride * stride for stride in self.stride)
            padding: Any = self.padding
            patches = nn.functional.unfold(x, self.kernel_size, self.dilation, padding, step)
            rows = patches.transpose(1, 2).flatten(0, 1)
        blocks = interleaved(rows.unflatten(1, (self.groups, -1)), self.num_blocks)  # P G S D
        return blocks.permute(1, 2, 0, 3).flatten(1, 2)
