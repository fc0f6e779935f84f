"""What a whitened layer computes, written from the paper's formulas in plain float64 torch; nothing of the library.

Blocks are looped over, patches are views, the root is the coupled Newton-Schulz iteration as the paper writes it, and
derivatives are autograd's.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor, nn


@dataclasses.dataclass(frozen=True)
class Case:
    """One layer with its settings; ``axes`` spatial dimensions, 0 for linear layers."""

    kind: str
    axes: int
    channels: int
    outputs: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    bias: bool
    padding_mode: str
    shape: tuple[int, ...]
    structure: str
    group_size: int
    steps: int
    eps: float
    standardize: bool
    sampling: int
    rows_per_feature: int | None
    momentum: float | None
    dtype: str
    autocast: bool
    channels_last: bool
    scale: float
    mean: float
    seed: int

    @property
    def block(self) -> tuple[int, int]:
        """Blocks of a group and channels of a block: the largest divisor, filled up where it is less than half."""
        own = self.channels // self.groups
        most = min(self.group_size, own)
        size = next(n for n in range(most, 0, -1) if own % n == 0)
        if 2 * size < most:
            count = math.ceil(own / most)
            return count, math.ceil(own / count)
        return own // size, size

    @property
    def of_pixels(self) -> bool:
        return self.structure == "channel" or self.kind in ("transposed", "channels")


def padded(case: Case, x: Tensor) -> Tensor:
    sides = [side for size in reversed(case.padding) for side in (size, size)]
    if case.kind != "conv" or not any(sides):
        return x
    return nn.functional.pad(x, sides, mode="constant" if case.padding_mode == "zeros" else case.padding_mode)


def patches(case: Case, x: Tensor) -> Tensor:
    """(N, C, positions of each axis, taps) of an input already padded."""
    for axis in range(case.axes):
        reach = case.dilation[axis] * (case.kernel[axis] - 1) + 1
        x = x.unfold(2 + axis, reach, case.stride[axis])[..., :: case.dilation[axis]]
    return x.flatten(2 + case.axes) if case.axes else x.unsqueeze(-1)


def sampled(case: Case, x: Tensor) -> Tensor:
    """Patches (or pixels) at the sampled positions of the sampled entries, (n, C, K)."""
    if case.of_pixels:
        strides = case.stride if case.kind == "conv" else (1,) * case.axes
        source = padded(case, x) if case.padding_mode != "zeros" else x
        grid = source[(slice(None), slice(None), *(slice(None, None, s) for s in strides))].unsqueeze(-1)
    else:
        grid = patches(case, padded(case, x))
    counts = grid.shape[2:-1]
    dense = [max(1, min(case.sampling, math.ceil(n / 4))) for n in counts]
    every = (slice(None), slice(None), *(slice(None, None, s) for s in dense))
    positions = grid[every][:, 0, ..., 0].numel()
    if case.rows_per_feature is not None:  # so many positions are enough for each feature of a matrix
        step = positions // (case.rows_per_feature * case.block[1] * grid.shape[-1])
    else:  # as many as without the denser grid
        step = positions // (grid.shape[0] * math.prod(math.ceil(n / case.sampling) for n in counts))
    grid = grid[every][:: max(1, min(step, len(x) // 32))]
    return grid.movedim(1, -2).flatten(0, -3)


def blocks_of(case: Case, features: Tensor) -> list[list[Tensor]]:
    """(..., C, K) as blocks (..., K B) of every group: taps outside, channels inside, zeros at the end."""
    own, (count, size) = case.channels // case.groups, case.block
    found = []
    for group in range(case.groups):
        mine = features[..., group * own : (group + 1) * own, :]
        mine = nn.functional.pad(mine, (0, 0, 0, count * size - own))
        found.append([mine[..., b * size : (b + 1) * size, :].transpose(-1, -2).flatten(-2) for b in range(count)])
    return found


def whitening(case: Case, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and matrix (D, D) of rows (n, D): covariance, shrinkage D / (n + D), eps, Newton-Schulz."""
    n, d = rows.shape
    mean = rows.sum(0) / n
    covariance = sum_of_squares = (rows - mean).T @ (rows - mean) / n
    covariance = sum_of_squares * (n / (n + d)) + torch.diag(sum_of_squares.diag()) * (d / (n + d))
    covariance = covariance + case.eps * torch.eye(d, dtype=rows.dtype)
    deviation = covariance.diag().sqrt() if case.standardize else torch.ones(d, dtype=rows.dtype)
    matrix = covariance / torch.outer(deviation, deviation)
    norm = matrix.square().sum().sqrt()
    if case.steps > 15:
        unit = torch.finfo(torch.float64 if case.dtype == "float64" else torch.float32).eps
        matrix = matrix + 8 * unit * norm.detach() * torch.eye(d, dtype=rows.dtype)
        norm = matrix.square().sum().sqrt()
    y, z, eye = matrix / norm, torch.eye(d, dtype=rows.dtype), torch.eye(d, dtype=rows.dtype)
    for _ in range(case.steps):
        t = (3 * eye - z @ y) / 2
        y, z = y @ t, t @ z
    return mean, z / norm.sqrt() / deviation


def statistics(case: Case, x: Tensor) -> list[tuple[Tensor, Tensor]] | None:
    """Mean and matrix of each group; None of one row, which a layer whitens as in evaluation."""
    rows = [torch.cat(blocks) for blocks in blocks_of(case, sampled(case, x))]
    return [whitening(case, own) for own in rows] if len(rows[0]) > 1 else None


def nothing_known(case: Case) -> list[tuple[Tensor, Tensor]]:
    """What a new layer has for running statistics."""
    size = case.block[1] * (1 if case.of_pixels else math.prod(case.kernel))
    return [(torch.zeros(size, dtype=torch.float64), torch.eye(size, dtype=torch.float64))] * case.groups


def apply(
    case: Case, x: Tensor, weight: Tensor | None, bias: Tensor | None, found: list[tuple[Tensor, Tensor]]
) -> Tensor:
    """The layer's output for these means and matrices."""
    if case.kind == "channels":
        features = x.movedim(1, -1).unsqueeze(-1)
        white = [(b - m) @ d.T for (m, d), blocks in zip(found, blocks_of(case, features), strict=True) for b in blocks]
        return torch.cat(white, -1)[..., : case.channels].movedim(-1, 1)
    assert weight is not None
    if case.kind == "transposed":
        return transposed(case, x, weight, bias, found)
    pieces = patches(case, padded(case, x)).movedim(1, -2)  # N ... C K
    per = case.outputs // case.groups
    outputs = []
    for group, (mean, matrix) in enumerate(found):
        total: Tensor | float = 0.0
        own = slice(group * (case.channels // case.groups), (group + 1) * (case.channels // case.groups))
        kernel = torch.zeros(per, case.channels, pieces.shape[-1], dtype=x.dtype)
        kernel[:, own] = (
            weight[group * per : (group + 1) * per].flatten(2) if weight.dim() > 2 else weight.unsqueeze(-1)
        )
        for block, part in zip(blocks_of(case, pieces)[group], blocks_of(case, kernel)[group], strict=True):
            taps = block.unflatten(-1, (-1, len(mean)))  # of one pixel each, or all in one
            white = (taps - mean) @ matrix.T
            total = total + white.flatten(-2) @ part.T
        outputs.append(total)
    y = torch.cat(outputs, -1).movedim(-1, 1)  # type: ignore[arg-type]
    return y if bias is None else y + bias.view(-1, *(1,) * case.axes)


def transposed(
    case: Case, x: Tensor, weight: Tensor, bias: Tensor | None, found: list[tuple[Tensor, Tensor]]
) -> Tensor:
    """A transposed convolution of whitened pixels, less the mean's response averaged over output phases."""
    own, (count, size) = case.channels // case.groups, case.block
    product, shift = [], []
    for group, (mean, matrix) in enumerate(found):
        kernel = weight[group * own : (group + 1) * own]
        kernel = torch.cat([kernel, kernel.new_zeros(count * size - own, *kernel.shape[1:])])
        parts = [torch.tensordot(matrix.T, kernel[b * size : (b + 1) * size], 1) for b in range(count)]
        response = sum(torch.tensordot(mean, part, 1) for part in parts)
        product.append(torch.cat(parts)[:own])
        shift.append(response.flatten(1).sum(1) / math.prod(case.stride))  # type: ignore[union-attr]
    total = -torch.cat(shift) if bias is None else bias - torch.cat(shift)
    convolve = (nn.functional.conv_transpose1d, nn.functional.conv_transpose2d, nn.functional.conv_transpose3d)
    return convolve[case.axes - 1](
        x, torch.cat(product), total, case.stride, case.padding, groups=case.groups, dilation=case.dilation
    )
