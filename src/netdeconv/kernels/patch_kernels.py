"""Triton kernels of the mean and covariance of sampled patches, read straight from the input.

Letters: as in ``linalg/grouping.py``: G matrices, S blocks sharing a matrix, B channels of a block, K taps, D = B K
features, P sampled positions. Rows of a matrix are pairs (block, position), so each program walks over blocks outside
and over positions inside. For one block an address is a sum of a term of the row and a term of the column, and only
the test whether a tap lies inside the image needs both: no index arithmetic is done for each pair but that.

COLS features and ROWS positions make a tile. The covariance is cut into COLS x COLS tiles of which those on and above
the diagonal are computed, each by several programs with a share of the rows; their sums stand in a workspace, are added
up outside, and :func:`mirror` writes both halves. No atomics: the same result in every run.
"""

# Triton ships no types, so its decorator is untyped.
# mypy: disallow-untyped-decorators=False
from __future__ import annotations

import triton
import triton.language as tl

from netdeconv.kernels.patch_parts import columns_at, load_tile, pair_at, rows_at, share_of

# Arguments of one value in a whole network would be compiled in (when 1) or asked for divisibility by 16: a kernel for
# each combination. Only strides gain from that.
_PLAIN_ARGUMENTS = [
    "samples",
    "positions",
    "grid_w",
    "height",
    "width",
    "stride_n",
    "stride_h",
    "step_h",
    "step_w",
    "pad_h",
    "pad_w",
    "dilation_h",
    "dilation_w",
    "kernel_w",
    "taps",
    "num_matrices",
    "num_blocks",
    "block_channels",
    "block_share",
    "row_share",
    "row_splits",
    "tiles",
]


@triton.jit(do_not_specialize=_PLAIN_ARGUMENTS)
def column_sums(
    x: tl.tensor,
    sums: tl.tensor,
    samples: tl.tensor,
    positions: tl.tensor,
    grid_w: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
    step_h: tl.tensor,
    step_w: tl.tensor,
    pad_h: tl.tensor,
    pad_w: tl.tensor,
    dilation_h: tl.tensor,
    dilation_w: tl.tensor,
    kernel_w: tl.tensor,
    taps: tl.tensor,
    num_matrices: tl.tensor,
    num_blocks: tl.tensor,
    block_channels: tl.tensor,
    block_share: tl.tensor,
    row_share: tl.tensor,
    row_splits: tl.tensor,
    tiles: tl.tensor,
    BORDER: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
) -> None:
    """Sums over a share of the rows. Programs and workspace (splits, G, tiles), each COLS numbers."""
    program = tl.program_id(0)
    tile = program % tiles
    group = (program // tiles) % num_matrices
    split = program // (tiles * num_matrices)
    first_block, last_block, first_row, last_row = share_of(
        split, samples, num_blocks, block_share, row_share, row_splits
    )
    total = tl.zeros((ROWS, COLS), dtype=tl.float32)
    for block in range(first_block, last_block):
        first = (group * num_blocks + block) * block_channels
        address, down, right, valid = columns_at(
            tile, first, stride_c, stride_h, stride_w, dilation_h, dilation_w, kernel_w, taps, block_channels, COLS
        )
        for start in range(first_row, last_row, ROWS):
            row_address, top, left, row_valid = rows_at(
                start, samples, positions, grid_w, stride_n, stride_h, stride_w, step_h, step_w, pad_h, pad_w, ROWS
            )
            total += load_tile(x, row_address, top, left, row_valid, address, down, right, valid, height, width, BORDER)
    tl.store(sums + program.to(tl.int64) * COLS + tl.arange(0, COLS), tl.sum(total, axis=0))


@triton.jit(do_not_specialize=_PLAIN_ARGUMENTS)
def tile_products(
    x: tl.tensor,
    mean: tl.tensor,
    products: tl.tensor,
    samples: tl.tensor,
    positions: tl.tensor,
    grid_w: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_h: tl.tensor,
    stride_w: tl.tensor,
    step_h: tl.tensor,
    step_w: tl.tensor,
    pad_h: tl.tensor,
    pad_w: tl.tensor,
    dilation_h: tl.tensor,
    dilation_w: tl.tensor,
    kernel_w: tl.tensor,
    taps: tl.tensor,
    num_matrices: tl.tensor,
    num_blocks: tl.tensor,
    block_channels: tl.tensor,
    block_share: tl.tensor,
    row_share: tl.tensor,
    row_splits: tl.tensor,
    tiles: tl.tensor,
    BORDER: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
) -> None:
    """Products of two tiles' features over a share of the rows. Programs and workspace (splits, G, pairs of tiles)."""
    program = tl.program_id(0)
    pairs = tiles * (tiles + 1) // 2
    a_tile, b_tile = pair_at(program % pairs, tiles)
    group = (program // pairs) % num_matrices
    split = program // (pairs * num_matrices)
    first_block, last_block, first_row, last_row = share_of(
        split, samples, num_blocks, block_share, row_share, row_splits
    )
    features = taps * block_channels
    a_feature = a_tile * COLS + tl.arange(0, COLS)
    b_feature = b_tile * COLS + tl.arange(0, COLS)
    a_mean = tl.load(mean + group * features + a_feature, mask=a_feature < features, other=0.0)
    b_mean = tl.load(mean + group * features + b_feature, mask=b_feature < features, other=0.0)
    total = tl.zeros((COLS, COLS), dtype=tl.float32)
    for block in range(first_block, last_block):
        first = (group * num_blocks + block) * block_channels
        a_address, a_down, a_right, a_valid = columns_at(
            a_tile, first, stride_c, stride_h, stride_w, dilation_h, dilation_w, kernel_w, taps, block_channels, COLS
        )
        b_address, b_down, b_right, b_valid = columns_at(
            b_tile, first, stride_c, stride_h, stride_w, dilation_h, dilation_w, kernel_w, taps, block_channels, COLS
        )
        for start in range(first_row, last_row, ROWS):
            row_address, top, left, row_valid = rows_at(
                start, samples, positions, grid_w, stride_n, stride_h, stride_w, step_h, step_w, pad_h, pad_w, ROWS
            )
            a = load_tile(
                x, row_address, top, left, row_valid, a_address, a_down, a_right, a_valid, height, width, BORDER
            )
            b = load_tile(
                x, row_address, top, left, row_valid, b_address, b_down, b_right, b_valid, height, width, BORDER
            )
            # Taps outside of the image are zeros and count with -mean. Rows outside of the sample do not count:
            # it is enough that one of the two factors is zero there.
            a = a - a_mean[None, :]
            b = tl.where(row_valid[:, None], b - b_mean[None, :], 0.0)
            total = tl.dot(tl.trans(a), b, acc=total, input_precision=PRECISION)
    place = tl.arange(0, COLS)[:, None] * COLS + tl.arange(0, COLS)[None, :]
    tl.store(products + program.to(tl.int64) * COLS * COLS + place, total)


@triton.jit(do_not_specialize=["features", "tiles"])
def mirror(
    products: tl.tensor,
    covariance: tl.tensor,
    features: tl.tensor,
    tiles: tl.tensor,
    rows: tl.tensor,
    COLS: tl.constexpr,
) -> None:
    """Divide by the rows and write both halves. Programs and ``products`` (G, pairs of tiles)."""
    program = tl.program_id(0)
    pairs = tiles * (tiles + 1) // 2
    a_tile, b_tile = pair_at(program % pairs, tiles)
    inner = tl.arange(0, COLS)[:, None] * COLS + tl.arange(0, COLS)[None, :]
    value = tl.load(products + program.to(tl.int64) * COLS * COLS + inner) / rows
    row = (a_tile * COLS + tl.arange(0, COLS))[:, None]
    column = (b_tile * COLS + tl.arange(0, COLS))[None, :]
    covariance += (program // pairs).to(tl.int64) * features * features
    inside = (row < features) & (column < features)
    tl.store(covariance + row * features + column, value, mask=inside)
    if a_tile != b_tile:
        tl.store(covariance + column * features + row, value, mask=inside)
