r"""The published algorithm, written plainly from its description, as the thing to be faster than.

Nothing is tuned and nothing is hand-written that autograd can do: patches by ``unfold`` of every sampled position, the
interleaved grouping, :math:`X^T X / n + \varepsilon I` in float32, the coupled Newton-Schulz iteration with three
products a step, running averages that start at the identity. Evaluation multiplies D into the weight at every forward.

Under bfloat16 autocast the published code raises an error. Here statistics and the product D w then run in float32
outside autocast, and the convolution in bfloat16: a plain port.

Not part of the package. Numbers equal those of ``Whitening(layout="reference")``.
Letters: P patches, C channels, K taps, S blocks that share a matrix, D features of a block, G conv groups, O outputs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

MOMENTUM = 0.1


def inverse_root(matrix: Tensor, num_iterations: int) -> Tensor:
    """Coupled Newton-Schulz, Frobenius scaling, for matrices (..., D, D): 15 products for five steps."""
    norm = torch.linalg.matrix_norm(matrix, keepdim=True)
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    y, z = matrix / norm, identity.expand_as(matrix)
    for _ in range(num_iterations):
        t = 0.5 * (3.0 * identity - z @ y)
        y, z = y @ t, t @ z
    return z / norm.sqrt()


class _Whitening(nn.Module):
    """Running statistics, and the statistics of rows; mixed into torch's layers."""

    running_mean: Tensor
    running_deconv: Tensor

    def _set_up(self, groups: int, features: int, num_iterations: int, eps: float) -> None:
        self.num_iterations, self.eps = num_iterations, eps
        self.register_buffer("running_mean", self.weight.new_zeros(groups, features))
        identity = torch.eye(features, dtype=self.weight.dtype, device=self.weight.device)
        self.register_buffer("running_deconv", identity.repeat(groups, 1, 1))

    def _statistics(self, rows_GPD: Tensor) -> tuple[Tensor, Tensor]:
        mean_GD = rows_GPD.mean(1)
        centred = rows_GPD - mean_GD.unsqueeze(1)
        identity = torch.eye(rows_GPD.shape[2], dtype=rows_GPD.dtype, device=rows_GPD.device)
        covariance = centred.transpose(1, 2) @ centred / rows_GPD.shape[1] + self.eps * identity
        deconv = inverse_root(covariance, self.num_iterations)
        with torch.no_grad():
            self.running_mean.mul_(1 - MOMENTUM).add_(mean_GD, alpha=MOMENTUM)
            self.running_deconv.mul_(1 - MOMENTUM).add_(deconv, alpha=MOMENTUM)
        return mean_GD, deconv

    def _effective(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """D w and b - mean D w."""
        with torch.autocast(x.device.type, enabled=False):
            if self.training:
                mean_GD, deconv_GDD = self._statistics(self._rows(x.to(self.running_mean.dtype)))
            else:
                mean_GD, deconv_GDD = self.running_mean, self.running_deconv
            groups = mean_GD.shape[0]
            weight = self._weight_rows().reshape(groups, -1, mean_GD.shape[1]) @ deconv_GDD
            response = (weight @ mean_GD.unsqueeze(2)).reshape(self.weight.shape[0], -1).sum(1)
            return self._from_rows(weight), self.bias - response


class PublishedConv2d(_Whitening, nn.Conv2d):
    """FastDeconv: ``block`` channels share a matrix; of a grouped convolution, all of a group."""

    def __init__(self, *args, block: int = 64, num_iterations: int = 5, eps: float = 1e-5, sampling: int = 3, **kwargs):
        super().__init__(*args, **kwargs)
        channels = self.in_channels // self.groups
        block = channels if self.groups > 1 or block > channels else math.gcd(block, channels)
        taps = math.prod(self.kernel_size)
        self.sampling, self.blocks, self.features = sampling, channels // block, block * taps
        self._set_up(self.groups, self.features, num_iterations, eps)

    def _rows(self, x: Tensor) -> Tensor:
        step = tuple(stride * self.sampling for stride in self.stride)
        if math.prod(self.kernel_size) == 1:  # every step²-th pixel of the raster of all images
            rows = x.permute(0, 2, 3, 1).reshape(-1, self.in_channels)[:: step[0] ** 2]
        else:
            rows = functional.unfold(x, self.kernel_size, self.dilation, self.padding, step)
            rows = rows.transpose(1, 2).reshape(-1, rows.shape[1])
        if self.groups > 1:
            return rows.reshape(-1, self.groups, self.features).transpose(0, 1)
        # feature i of a patch goes to block i mod S; the blocks are stacked as further rows
        return rows.reshape(-1, self.features, self.blocks).transpose(1, 2).reshape(1, -1, self.features)

    def _weight_rows(self) -> Tensor:
        if self.groups > 1:
            return self.weight
        return self.weight.reshape(-1, self.features, self.blocks).transpose(1, 2)

    def _from_rows(self, rows: Tensor) -> Tensor:
        if self.groups == 1:
            rows = rows.reshape(-1, self.blocks, self.features).transpose(1, 2)
        return rows.reshape(self.weight.shape)

    def forward(self, input: Tensor) -> Tensor:
        weight, bias = self._effective(input)
        return functional.conv2d(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)


class PublishedLinear(_Whitening, nn.Linear):
    """Delinear: neighbouring features, ``block`` of them, share a matrix; every row is sampled."""

    def __init__(self, *args, block: int = 512, num_iterations: int = 5, eps: float = 1e-5, **kwargs):
        super().__init__(*args, **kwargs)
        block = self.in_features if block > self.in_features else math.gcd(block, self.in_features)
        self._set_up(1, block, num_iterations, eps)

    def _rows(self, x: Tensor) -> Tensor:
        return x.reshape(1, -1, self.running_mean.shape[1])

    def _weight_rows(self) -> Tensor:
        return self.weight

    def _from_rows(self, rows: Tensor) -> Tensor:
        return rows.reshape(self.weight.shape)

    def forward(self, input: Tensor) -> Tensor:
        return functional.linear(input, *self._effective(input))


def whiten(model: nn.Module, *, stem_iterations: int = 15) -> nn.Module:
    """Put published layers in the place of a network's convolutions and linear layers, which must have a bias.

    The first convolution takes ``stem_iterations`` steps. It is not frozen as in the published training, where most
    steps use its running statistics: its 27 features cost next to nothing either way.
    """
    stem = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Conv2d:
                setattr(parent, name, _twin(child, num_iterations=stem_iterations if child is stem else 5))
            elif type(child) is nn.Linear:
                setattr(parent, name, _twin(child))
    return model


def _twin(layer: nn.Conv2d | nn.Linear, **settings: int) -> nn.Module:
    """The published layer that holds a plain one's parameters."""
    if isinstance(layer, nn.Linear):
        twin: nn.Module = PublishedLinear(layer.in_features, layer.out_features, dtype=layer.weight.dtype)
    else:
        names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
        arguments = {name: getattr(layer, name) for name in names}
        twin = PublishedConv2d(**arguments, dtype=layer.weight.dtype, **settings)
    twin.weight, twin.bias = layer.weight, layer.bias
    return twin
