"""How the statistics of patches are cut into tiles and divided among programs: sizes alone, no device is asked.

Letters: as in ``patch_kernels.py``.
"""

from __future__ import annotations

import dataclasses

# Positions of one step, the least that a product on tensor cores takes. Compiled for compute capability 9.0 with Triton
# 3.6, a program of 64 float32 features then uses 16 KB of shared memory, one of 128 (TensorFloat32) 64 KB, and hardly
# any register is spilled; with 32 positions many are.
ROWS = 16
# Enough for 16 warps on each of the 132 multiprocessors of the largest GPU in use; fixed, so that sums are split the
# same way everywhere.
WARPS_WANTED = 2112
# A program that walks over fewer steps spends its time on its start and its part of the workspace.
LEAST_STEPS = 8


@dataclasses.dataclass(frozen=True)
class Division:
    """Rows of a matrix, which are blocks times positions, divided among programs that share one result."""

    block_share: int
    row_share: int
    block_splits: int
    row_splits: int

    @property
    def splits(self) -> int:
        """Programs that share one result."""
        return self.block_splits * self.row_splits


@dataclasses.dataclass(frozen=True)
class PatchPlan:
    """How the statistics are cut: features of a tile, tiles along an axis, and divisions of the rows."""

    columns: int
    tiles: int
    num_warps: int
    sums: Division
    products: Division

    @property
    def pairs(self) -> int:
        """Tiles on and above the diagonal."""
        return self.tiles * (self.tiles + 1) // 2


def divide(results: int, num_warps: int, num_blocks: int, samples: int) -> Division:
    """Rows divided among as many programs as fill a GPU with this many ``results``, but not into crumbs."""
    steps = -(-samples // ROWS)
    wanted = min(WARPS_WANTED // (num_warps * results), num_blocks * steps // LEAST_STEPS)
    wanted = max(1, wanted)
    block_share = -(-num_blocks // min(num_blocks, wanted))
    block_splits = -(-num_blocks // block_share)
    step_share = -(-steps // min(steps, max(1, wanted // block_splits)))
    return Division(block_share, step_share * ROWS, block_splits, -(-steps // step_share))


def plan_patches(features: int, num_matrices: int, num_blocks: int, samples: int, precision: str) -> PatchPlan:
    """The cut for matrices of ``features`` and ``num_blocks`` times ``samples`` rows."""
    # Float32 products go through the ordinary arithmetic units: a larger tile would only need more registers.
    largest = 64 if precision == "ieee" else 128
    columns = min(largest, max(16, 1 << (features - 1).bit_length()))
    num_warps = {16: 1, 32: 4, 64: 4, 128: 8}[columns]
    tiles = -(-features // columns)
    pairs = tiles * (tiles + 1) // 2
    return PatchPlan(
        columns,
        tiles,
        num_warps,
        sums=divide(num_matrices * tiles, num_warps, num_blocks, samples),
        products=divide(num_matrices * pairs, num_warps, num_blocks, samples),
    )
