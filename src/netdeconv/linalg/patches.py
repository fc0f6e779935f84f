"""Sampled patches of a 0- to 3-dimensional input, and the adjoint that adds them back.

Letters: as in geometry.py.
No padded copy and no im2col of the whole input is made: each kernel tap is one strided slice, and positions outside
the input stay zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netdeconv.linalg.geometry import PatchGeometry, Slices
from netdeconv.linalg.grouping import Grouping


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
    return PatchCopier(geometry, grouping, taps_first=taps_first).gather(x, dtype)


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
    return PatchCopier(geometry, grouping, taps_first=taps_first).scatter(patches, into)


class PatchCopier:
    """Gathers and scatters patches of one input after another, in the same memory where shapes repeat.

    What :meth:`gather` returned is overwritten by the next call; it is to be read, not changed.

    Args:
        geometry: where the patches lie.
        grouping: the blocks.
        taps_first: as in :func:`gather_patches`.
    """

    def __init__(self, geometry: PatchGeometry, grouping: Grouping, *, taps_first: bool = False) -> None:
        self.geometry, self.grouping, self.taps_first = geometry, grouping, taps_first
        # Published blocks mix taps of all channels: their patches are copied whole, and divided afterwards.
        self._published = grouping.interleaved and geometry.num_taps > 1 and not taps_first
        channels = grouping.num_blocks * grouping.block_channels
        self._whole = Grouping(grouping.num_matrices, 1, channels) if self._published else grouping
        self._held: dict[tuple[str, torch.Size, torch.dtype], Tensor] = {}

    def memory(self, name: str, shape: tuple[int, ...], like: Tensor, dtype: torch.dtype) -> Tensor:
        """A tensor of zeros when it is first asked for, afterwards with what was written to it."""
        key = (name, torch.Size(shape), dtype)
        if key not in self._held:
            self._held[key] = like.new_zeros(shape, dtype=dtype)
        return self._held[key]

    def gather(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """As :func:`gather_patches`."""
        g, s, b = self.grouping.num_matrices, self.grouping.num_blocks, self.grouping.block_channels
        k = self.geometry.num_taps
        if self.geometry.raster:
            rows = x.movedim(1, -1).reshape(-1, x.shape[1])[:: self.geometry.step[0]]
            return self.grouping.split(rows, 1).permute(1, 2, 0, 3).reshape(g, -1, b).to(dtype, copy=True)
        shape = self._positions(x)
        if self.taps_first:
            patches = slots = self.memory("patches", (k, *shape, b), x, dtype)
        elif self._published:
            patches = self.memory("patches", (*shape, s * b, k), x, dtype)
            slots = patches.movedim(-1, 0)
        else:
            patches = self.memory("patches", (*shape, k, b), x, dtype)
            slots = patches.movedim(-2, 0)
        for tap, target, source in self.geometry.taps(tuple(x.shape[2:])):
            slots[tap][(slice(None), slice(None), slice(None), *target)] = self._source(x, source)
        if self.taps_first:
            return patches.flatten(2).reshape(k, g, -1).transpose(0, 1)
        if self._published:
            blocks = self.grouping.split_patches(patches.flatten(1, -3)).transpose(1, 2)  # G S P D
            divided = self.memory("divided", tuple(blocks.shape), x, dtype)
            return divided.copy_(blocks).view(g, -1, blocks.shape[-1])
        return patches.reshape(g, -1, k * b)

    def scatter(self, patches: Tensor, into: Tensor) -> Tensor:
        """As :func:`scatter_patches`."""
        g, s, b = self.grouping.num_matrices, self.grouping.num_blocks, self.grouping.block_channels
        k = self.geometry.num_taps
        if self.geometry.raster:
            rows = torch.zeros_like(into.movedim(1, -1).reshape(-1, into.shape[1]))
            merged = self.grouping.merge(patches.reshape(g, s, -1, b).permute(2, 0, 1, 3), 1)
            rows[:: self.geometry.step[0]] = merged.to(rows.dtype)
            return into.add_(rows.reshape(into.movedim(1, -1).shape).movedim(-1, 1))
        shape = self._positions(into)
        if self.taps_first:
            slots = patches.transpose(0, 1).reshape(k, *shape, b)
        elif self._published:
            blocks = patches.reshape(g, s, -1, patches.shape[-1]).transpose(1, 2)  # G P S D
            slots = self.grouping.merge_patches(blocks, k).reshape(*shape, s * b, k).movedim(-1, 0)
        else:
            slots = patches.reshape(*shape, k, b).movedim(-2, 0)
        for tap, target, source in self.geometry.taps(tuple(into.shape[2:])):
            self._source(into, source).add_(slots[tap][(slice(None), slice(None), slice(None), *target)])
        return into

    def _positions(self, x: Tensor) -> tuple[int, ...]:
        """(G, S, N, ...) of the sampled positions."""
        grid = self.geometry.grid(tuple(x.shape[2:]))
        return (self._whole.num_matrices, self._whole.num_blocks, x.shape[0], *grid)

    def _source(self, x: Tensor, source: Slices) -> Tensor:
        """The input positions of one tap, as (G, S, N, ..., B)."""
        part = self._whole.split(x[(slice(None), slice(None), *source)], 1)  # N G S B ...
        return part.permute(1, 2, 0, *range(4, part.dim()), 3)
