"""Parts of the Triton kernels of patches: where numbers lie in the input, and which share of them a program takes.

Letters: as in ``patch_kernels.py``.
"""

# Triton ships no types, so its decorator is untyped.
# mypy: disallow-untyped-decorators=False
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def rows_at(
    start: tl.tensor,
    samples: tl.tensor,
    positions: tl.tensor,
    grid_w: tl.tensor,
    stride_n: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
    step_h: tl.tensor,
    step_w: tl.tensor,
    pad_h: tl.tensor,
    pad_w: tl.tensor,
    ROWS: tl.constexpr,
) -> tl.tensor:
    """ROWS positions from ``start`` on: where their patches begin, as an address and in the image, and validity."""
    index = start + tl.arange(0, ROWS)
    image = index // positions
    inside = index - image * positions
    top = (inside // grid_w) * step_h - pad_h
    left = (inside % grid_w) * step_w - pad_w
    # 64 bits: a batch may hold more than 2^31 numbers
    address = image.to(tl.int64) * stride_n + top.to(tl.int64) * stride_h + left.to(tl.int64) * stride_w
    return address, top, left, index < samples


@triton.jit
def columns_at(
    tile: tl.tensor,
    first: tl.tensor,
    stride_c: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
    dilation_h: tl.tensor,
    dilation_w: tl.tensor,
    kernel_w: tl.tensor,
    taps: tl.tensor,
    block_channels: tl.tensor,
    COLS: tl.constexpr,
) -> tl.tensor:
    """COLS features of a block: channel, from ``first`` on, and tap as an address, the tap's place, and validity."""
    feature = tile * COLS + tl.arange(0, COLS)
    tap = feature // block_channels
    channel = first + feature % block_channels
    down = (tap // kernel_w) * dilation_h
    right = (tap % kernel_w) * dilation_w
    address = channel.to(tl.int64) * stride_c + down.to(tl.int64) * stride_h + right.to(tl.int64) * stride_w
    return address, down, right, feature < taps * block_channels


@triton.jit
def load_tile(
    x: tl.tensor,
    row_address: tl.tensor,
    top: tl.tensor,
    left: tl.tensor,
    row_valid: tl.tensor,
    column_address: tl.tensor,
    down: tl.tensor,
    right: tl.tensor,
    column_valid: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    BORDER: tl.constexpr,
) -> tl.tensor:
    """ROWS x COLS numbers in float32, zero outside of the image and of the valid rows and columns."""
    mask = row_valid[:, None] & column_valid[None, :]
    if BORDER:
        h = top[:, None] + down[None, :]
        w = left[:, None] + right[None, :]
        mask = mask & (h >= 0) & (h < height) & (w >= 0) & (w < width)
    return tl.load(x + (row_address[:, None] + column_address[None, :]), mask=mask, other=0.0).to(tl.float32)


@triton.jit
def share_of(
    split: tl.tensor,
    samples: tl.tensor,
    num_blocks: tl.tensor,
    block_share: tl.tensor,
    row_share: tl.tensor,
    row_splits: tl.tensor,
) -> tl.tensor:
    """The blocks and positions of one of the programs that share a result; ``row_share`` is a multiple of ROWS."""
    first_block = (split // row_splits) * block_share
    first_row = (split % row_splits) * row_share
    last_block = tl.minimum(first_block + block_share, num_blocks)
    return first_block, last_block, first_row, tl.minimum(first_row + row_share, samples)


@triton.jit
def pair_at(index: tl.tensor, tiles: tl.tensor) -> tl.tensor:
    """Row and column of the ``index``-th tile on or above the diagonal.

    Row r and row tiles - 1 - r, counted from the bottom, have tiles + 1 such tiles together.
    """
    first = index // (tiles + 1)
    place = index % (tiles + 1)
    in_first = place < tiles - first
    row = tl.where(in_first, first, tiles - 1 - first)
    return row, tl.where(in_first, first + place, place - 1)
