"""Sampled patches of a 0- to 3-dimensional input, and the adjoint that adds them back.

Letters: as in grouping.py.
No padded copy and no im2col of the whole input is made: each kernel tap is one strided slice, and positions outside
the input stay zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netdeconv.linalg.geometry import PatchGeometry, Slices
from netdeconv.linalg.grouping import Grouping
from netdeconv.linalg.precision import may_write

# Patches are as large as the activation they are read from. Copied, centred and multiplied portion by portion they stay
# in a processor's cache, and the memory of one portion serves all: pages of new memory cost more than the arithmetic.
_BYTES = 4 * 2**20


def gather_patches(x: Tensor, geometry: PatchGeometry, grouping: Grouping, *, dtype: torch.dtype) -> Tensor:
    """Sampled patches in blocks. Zeros lie outside the input.

    Args:
        x: input.
        geometry: where the patches lie.
        grouping: the blocks.
        dtype: of the result.

    Shapes:
        x (N, C, ...); result (G, S P, D) for P = N times sampled positions. D runs over taps, then channels.

    Returns:
        A new tensor; no view of the input.

    Raises:
        ValueError: when the kernel is larger than the padded input.
    """
    return PatchCopier(geometry, grouping).gather(x, dtype)


class PatchCopier:
    """Gathers and scatters patches of one input after another, in the same memory where shapes repeat.

    What :meth:`gather` returned is overwritten by the next call; it is to be read, not changed.

    Args:
        geometry: where the patches lie.
        grouping: the blocks.
    """

    def __init__(self, geometry: PatchGeometry, grouping: Grouping) -> None:
        self.geometry, self.grouping = geometry, grouping
        self._held: dict[tuple[str, torch.Size, torch.dtype], Tensor] = {}

    def memory(self, name: str, shape: tuple[int, ...], like: Tensor, dtype: torch.dtype) -> Tensor:
        """A tensor of zeros when it is first asked for, afterwards with what was written to it."""
        key = (name, torch.Size(shape), dtype)
        if key not in self._held:
            self._held[key] = like.new_zeros(shape, dtype=dtype)
        return self._held[key]

    def gather(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """As :func:`gather_patches`."""
        patches = self.memory("patches", self._shape(x), x, dtype)
        slots = patches.movedim(-2, 0)
        for tap, target, source in self.geometry.taps(tuple(x.shape[2:])):
            part = self.grouping.split(x[(slice(None), slice(None), *source)], 1)  # N G S B ...
            slots[tap][_at(target)] = part.permute(1, 2, 0, *range(4, part.dim()), 3)
        return patches.flatten(1, -3).flatten(2)

    def scatter(self, patches: Tensor, into: Tensor) -> Tensor:
        """The adjoint of :meth:`gather`: add patches to the positions of ``into`` that they are read from."""
        slots = patches.reshape(self._shape(into)).movedim(-2, 0)
        for tap, target, source in self.geometry.taps(tuple(into.shape[2:])):
            part = slots[tap][_at(target)]  # G S N ... B
            part = self.grouping.merge(part.permute(2, 0, 1, part.dim() - 1, *range(3, part.dim() - 1)), 1)
            into[(slice(None), slice(None), *source)].add_(part)
        return into

    def _shape(self, x: Tensor) -> tuple[int, ...]:
        """(G, S, N, ..., K, B) of the sampled positions."""
        g, s, b = self.grouping.num_matrices, self.grouping.num_blocks, self.grouping.block_channels
        return (g, s, x.shape[0], *self.geometry.grid(tuple(x.shape[2:])), self.geometry.num_taps, b)


def _at(target: Slices) -> tuple[slice, ...]:
    return (slice(None), slice(None), slice(None), *target)


def portions(sample: Tensor, geometry: PatchGeometry, dtype: torch.dtype) -> list[slice]:
    """Slices of the batch whose copied patches fit a cache; one where they would not pay or cannot be recorded."""
    whole = [slice(None)]
    if sample.device.type != "cpu" or not may_write():
        return whole
    bytes_of_entry = geometry.num_samples(sample[:1].shape) * sample.shape[1] * geometry.num_taps * dtype.itemsize
    step = max(1, _BYTES // max(1, bytes_of_entry))
    if step >= len(sample):
        return whole
    return [slice(first, first + step) for first in range(0, len(sample), step)]
