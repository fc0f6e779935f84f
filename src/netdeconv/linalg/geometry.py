"""Where the sampled patches of a 0- to 3-dimensional input lie.

Letters: as in grouping.py, and P = N times sampled positions.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator

import torch

Slices = tuple[slice, ...]


@dataclasses.dataclass(frozen=True)
class PatchGeometry:
    """Where patches lie: one entry for each spatial axis.

    Args:
        kernel_size: taps.
        step: distance of sampled patches in input positions, the convolution's stride times the sampling stride.
        padding: zeros (before, after) the input.
        dilation: distance of the taps.
    """

    kernel_size: tuple[int, ...] = ()
    step: tuple[int, ...] = ()
    padding: tuple[tuple[int, int], ...] = ()
    dilation: tuple[int, ...] = ()

    @property
    def num_taps(self) -> int:
        """K."""
        return math.prod(self.kernel_size)

    def along(self, axes: int) -> PatchGeometry:
        """Itself, or single pixels of so many axes where it has none."""
        if self.kernel_size or not axes:
            return self
        return PatchGeometry((1,) * axes, (1,) * axes, ((0, 0),) * axes, (1,) * axes)

    @property
    def pixels(self) -> PatchGeometry:
        """Single pixels with the same step, of the input without padding."""
        axes = len(self.kernel_size)
        return PatchGeometry((1,) * axes, self.step, ((0, 0),) * axes, (1,) * axes)

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
