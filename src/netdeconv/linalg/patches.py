"""Sampled patches of a 0- to 3-dimensional input, and the adjoint that adds them back.

Letters: as in grouping.py, and P = N times sampled positions.
No padded copy and no im2col of the whole input is made: each kernel tap is one strided slice, and positions outside
the input stay zero.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from netdeconv.linalg.grouping import Grouping

Slices = tuple[slice, ...]


@dataclasses.dataclass(frozen=True)
class PatchGeometry:
    """Where patches lie: one entry for each spatial axis.

    Args:
        kernel_size: taps.
        step: distance of sampled patches in input positions, the convolution's stride times the sampling stride.
        padding: zeros (before, after) the input.
        dilation: distance of the taps.
        raster: sample every ``step[0]``-th row of the flattened N x positions raster instead (published, 1x1 only).
    """

    kernel_size: tuple[int, ...] = ()
    step: tuple[int, ...] = ()
    padding: tuple[tuple[int, int], ...] = ()
    dilation: tuple[int, ...] = ()
    raster: bool = False

    @property
    def num_taps(self) -> int:
        """K."""
        return math.prod(self.kernel_size)

    def grid(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """Number of sampled positions along each axis of an input of these sizes.

        Raises:
            ValueError: when the kernel is larger than the padded input.
        """
        counts = []
        for size, kernel, step, (before, after), dilation in zip(
            sizes, self.kernel_size, self.step, self.padding, self.dilation, strict=True
        ):
            room = size + before + after - dilation * (kernel - 1) - 1
            if room < 0:
                raise ValueError(
                    f"kernel {self.kernel_size} with dilation {self.dilation} is larger than "
                    f"the input {tuple(sizes)} padded by {self.padding}"
                )
            counts.append(room // step + 1)
        return tuple(counts)

    def num_samples(self, shape: torch.Size) -> int:
        """P, for an input of this shape (N, C, ...)."""
        if self.raster:
            return -(-(shape[0] * math.prod(shape[2:])) // self.step[0])
        return shape[0] * math.prod(self.grid(tuple(shape[2:])))

    def taps(self, sizes: tuple[int, ...]) -> Iterator[tuple[int, Slices, Slices]]:
        """For each tap with any position inside: its index, slices of the grid, slices of the input."""
        grid = self.grid(sizes)
        axes = [
            [_tap_range(size, count, step, tap * dilation - before) for tap in range(kernel)]
            for size, count, kernel, step, (before, _), dilation in zip(
                sizes, grid, self.kernel_size, self.step, self.padding, self.dilation, strict=True
            )
        ]
        for index, ranges in enumerate(itertools.product(*axes)):
            inside = [pair for pair in ranges if pair is not None]
            if len(inside) == len(ranges):
                yield index, tuple(to for to, _ in inside), tuple(source for _, source in inside)


def _tap_range(size: int, count: int, step: int, offset: int) -> tuple[slice, slice] | None:
    """Grid and input slices of one tap along one axis; position i reads input index i * step + offset."""
    first = max(0, -(offset // step))
    last = min(count - 1, (size - 1 - offset) // step)
    if last < first:
        return None
    return slice(first, last + 1), slice(first * step + offset, last * step + offset + 1, step)


def _source_view(x: Tensor, source: Slices, grouping: Grouping) -> Tensor:
    """The input positions of one tap, as (G, S, N, ..., B)."""
    part = grouping.split(x[(slice(None), slice(None), *source)], 1)  # N G S B ...
    return part.permute(1, 2, 0, *range(4, part.dim()), 3)


def _arrangement(
    x: Tensor, geometry: PatchGeometry, grouping: Grouping, published: bool
) -> tuple[Grouping, tuple[int, ...]]:
    """The blocks that taps are copied in, and the shape (G, S, N, ...) of their positions.

    Published blocks mix taps of all channels, so their patches are copied whole and divided afterwards.
    """
    if published:
        grouping = Grouping(grouping.num_matrices, 1, grouping.num_blocks * grouping.block_channels)
    grid = geometry.grid(tuple(x.shape[2:]))
    return grouping, (grouping.num_matrices, grouping.num_blocks, x.shape[0], *grid)


def gather_patches(
    x: Tensor, geometry: PatchGeometry, grouping: Grouping, *, dtype: torch.dtype, taps_first: bool = False
) -> Tensor:
    """Sampled patches in blocks. Zeros lie outside the input.

    Args:
        x: input.
        geometry: where the patches lie.
        grouping: the blocks.
        dtype: of the result.
        taps_first: whether taps are kept apart.

    Shapes:
        x (N, C, ...); result (G, S P, D), or (G, K, S P B) with ``taps_first``. D runs over taps then channels; for
        interleaved blocks of several taps it has the published order, of channels then taps.

    Returns:
        A new tensor; no view of the input.

    Raises:
        ValueError: when the kernel is larger than the padded input.
    """
    g, s, b, k = grouping.num_matrices, grouping.num_blocks, grouping.block_channels, geometry.num_taps
    if geometry.raster:
        rows = x.movedim(1, -1).reshape(-1, x.shape[1])[:: geometry.step[0]]
        return grouping.split(rows, 1).permute(1, 2, 0, 3).reshape(g, -1, b).to(dtype, copy=True)
    published = grouping.interleaved and k > 1 and not taps_first
    whole, shape = _arrangement(x, geometry, grouping, published)
    if taps_first:
        patches = x.new_zeros((k, *shape, b), dtype=dtype)
        slots = patches
    elif published:
        patches = x.new_zeros((*shape, s * b, k), dtype=dtype)
        slots = patches.movedim(-1, 0)
    else:
        patches = x.new_zeros((*shape, k, b), dtype=dtype)
        slots = patches.movedim(-2, 0)
    for tap, target, source in geometry.taps(tuple(x.shape[2:])):
        slots[tap][(slice(None), slice(None), slice(None), *target)] = _source_view(x, source, whole)
    if taps_first:
        return patches.flatten(2).reshape(k, g, -1).transpose(0, 1)
    if published:
        blocks = grouping.split_patches(patches.flatten(1, -3))  # G P S D
        return blocks.transpose(1, 2).reshape(g, -1, blocks.shape[-1])
    return patches.reshape(g, -1, k * b)


def scatter_patches(
    patches: Tensor, into: Tensor, geometry: PatchGeometry, grouping: Grouping, *, taps_first: bool = False
) -> Tensor:
    """The adjoint of :func:`gather_patches`: add patches to the positions they were read from.

    Args:
        patches: in the form that :func:`gather_patches` gives.
        into: changed in place.
        geometry: where the patches lie.
        grouping: the blocks.
        taps_first: which form the patches have.

    Shapes:
        patches (G, S P, D), or (G, K, S P B) with ``taps_first``; into and result (N, C, ...).

    Returns:
        ``into``.
    """
    g, s, b, k = grouping.num_matrices, grouping.num_blocks, grouping.block_channels, geometry.num_taps
    if geometry.raster:
        rows = torch.zeros_like(into.movedim(1, -1).reshape(-1, into.shape[1]))
        rows[:: geometry.step[0]] = grouping.merge(patches.reshape(g, s, -1, b).permute(2, 0, 1, 3), 1).to(rows.dtype)
        return into.add_(rows.reshape(into.movedim(1, -1).shape).movedim(-1, 1))
    published = grouping.interleaved and k > 1 and not taps_first
    whole, shape = _arrangement(into, geometry, grouping, published)
    if taps_first:
        slots = patches.transpose(0, 1).reshape(k, *shape, b)
    elif published:
        blocks = patches.reshape(g, s, -1, patches.shape[-1]).transpose(1, 2)  # G P S D
        slots = grouping.merge_patches(blocks, k).reshape(*shape, s * b, k).movedim(-1, 0)
    else:
        slots = patches.reshape(*shape, k, b).movedim(-2, 0)
    for tap, target, source in geometry.taps(tuple(into.shape[2:])):
        _source_view(into, source, whole).add_(slots[tap][(slice(None), slice(None), slice(None), *target)])
    return into
