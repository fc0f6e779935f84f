"""ChannelDeconv: the published whitening of the channels of feature maps and vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from netdeconv.published.statistics import PublishedLayer, check, move, root_of


class ChannelDeconv(PublishedLayer):
    """The published stand-alone channel whitening, number for number.

    The second moment is not centred, channels beyond the last whole block share one scalar mean and variance, and the
    first batch replaces the running averages.

    Args:
        block: channels in a block, at most those of the input.
        eps: added to the second moment's diagonal.
        n_iter: Newton-Schulz steps.
        momentum: weight of the new batch in the running averages.
        sampling_stride: of feature maps every n^2-th row of a block is sampled, vectors whole.

    Shapes:
        (N, C) or (N, C, H, W) to the same. Buffers ``running_mean1`` (B, 1), ``running_deconv`` (B, B),
        ``running_mean2`` and ``running_var`` (1, 1), ``num_batches_tracked`` ().

    Raises:
        ValueError: when a setting is out of range, with its name and value; when the input has fewer channels than a
            block.

    Source:
        as :class:`netdeconv.published.FastDeconv`. The left-over channels are sampled like the others.

    Example:
        >>> ChannelDeconv(4)(torch.randn(4, 10, 6, 6)).shape
        torch.Size([4, 10, 6, 6])
    """

    running_mean1: Tensor
    running_deconv: Tensor
    running_mean2: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self, block: int, eps: float = 1e-2, n_iter: int = 5, momentum: float = 0.1, sampling_stride: int = 3
    ) -> None:
        super().__init__()
        check(eps, momentum, n_iter=n_iter, block=block, sampling_stride=sampling_stride)
        self.block, self.eps, self.n_iter = block, eps, n_iter
        self.momentum, self.sampling_stride = momentum, sampling_stride
        self.register_buffer("running_mean1", torch.zeros(block, 1))
        self.register_buffer("running_deconv", torch.eye(block))
        self.register_buffer("running_mean2", torch.zeros(1, 1))
        self.register_buffer("running_var", torch.ones(1, 1))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))

    def forward(self, input: Tensor) -> Tensor:
        """Whiten the channels."""
        whole = input.shape[1] - input.shape[1] % self.block
        if not whole:
            raise ValueError(f"the input has {input.shape[1]} channels, fewer than a block of {self.block}")
        step = self.sampling_stride**2 if input.dim() > 2 else 1
        momentum = 1.0 if self.training and not int(self.num_batches_tracked) else self.momentum
        result = self._whiten(input[:, :whole], step, momentum)
        if whole < input.shape[1]:
            result = torch.cat([result, self._standardize(input[:, whole:], step, momentum)], 1)
        if self.training:
            self.num_batches_tracked.add_(1)
        return result

    def _whiten(self, x: Tensor, step: int, momentum: float) -> Tensor:
        """Channel c goes to block c modulo the number of blocks."""
        blocks = x.unflatten(1, (self.block, -1)).transpose(0, 1)  # B N S ...
        flat = blocks.flatten(1)
        mean, matrix = self.running_mean1.clone(), self.running_deconv.clone()
        if self.training:
            rows = blocks.transpose(1, 2).flatten(1)[:, ::step]  # in the order S N ...
            mean = rows.mean(1, keepdim=True)
            matrix = root_of(rows @ rows.mT / rows.shape[1], self.eps, self.n_iter)
            move(self.running_mean1, mean, momentum)
            move(self.running_deconv, matrix, momentum)
        whitened: Tensor = matrix @ (flat - mean)
        return whitened.view(blocks.shape).transpose(0, 1).reshape(x.shape)

    def _standardize(self, x: Tensor, step: int, momentum: float) -> Tensor:
        """One mean and one variance for all left-over channels."""
        mean, variance = self.running_mean2.clone(), self.running_var.clone()
        if self.training:
            sample = x.transpose(0, 1).flatten()[::step]
            mean, variance = sample.mean(), sample.var()
            move(self.running_mean2, mean, momentum)
            move(self.running_var, variance, momentum)
        return (x - mean.view(())) * (variance.view(()) + self.eps).rsqrt()
