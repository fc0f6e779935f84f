r"""Triton kernels of the n-step Newton-Schulz inverse root and of its derivative, one program for each matrix.

The formulas are those of ``linalg/newton_schulz.py``. Letters: D size of a matrix, SIZE the same rounded up to a power
of two of at least 16.

Where the matrices are. A matrix of 128 x 128 fills 64 KB, and up to six are needed at once: too many for registers and
shared memory. Each program keeps them, padded and row-major, in a scratch area of global memory, from which they come
back out of the caches. A product reads strips of CHUNK columns and rows and adds them up in registers: at 128, with 8
warps, 64 registers a thread for the sum, and 2 x 128 x CHUNK floats of shared memory (32 KB at CHUNK = 32).
Everything else is done in strips of rows too, so that no step holds two whole matrices in registers.

What makes that safe. The matrices of a program are read and written by this program alone. ``tl.debug_barrier`` stands
between every write of a matrix and the next read of it, and the other way round; it orders a program's accesses to
global memory as well as to shared memory. Launched with ``num_stages=1``: no load is moved ahead of a barrier by
software pipelining.

What padding does. Outside D x D the scaled matrix is the identity, a fixed point of the iteration, and tangents are
zero: the padded matrices stay block-diagonal and the padding stays finite.
"""

# Triton ships no types, so its decorator is untyped.
# mypy: disallow-untyped-decorators=False
from __future__ import annotations

import torch
import triton
import triton.language as tl

_TINY = tl.constexpr(torch.finfo(torch.float32).tiny)


@triton.jit
def _strip(matrix: tl.tensor, start: tl.tensor, SIZE: tl.constexpr, STRIP: tl.constexpr) -> tl.tensor:
    """Addresses of STRIP rows of a scratch matrix."""
    rows = start + tl.arange(0, STRIP)
    return matrix + rows[:, None] * SIZE + tl.arange(0, SIZE)[None, :]


@triton.jit
def _transposed_strip(matrix: tl.tensor, start: tl.tensor, SIZE: tl.constexpr, STRIP: tl.constexpr) -> tl.tensor:
    """Addresses of STRIP rows of the transpose of a scratch matrix."""
    rows = start + tl.arange(0, STRIP)
    return matrix + rows[:, None] + tl.arange(0, SIZE)[None, :] * SIZE


@triton.jit
def _load_symmetrized(
    matrix: tl.tensor, start: tl.tensor, D: tl.tensor, SIZE: tl.constexpr, STRIP: tl.constexpr
) -> tl.tensor:
    """STRIP rows of the symmetric part of a D x D matrix, zero outside of it."""
    rows = (start + tl.arange(0, STRIP))[:, None]
    columns = tl.arange(0, SIZE)[None, :]
    inside = (rows < D) & (columns < D)
    straight = tl.load(matrix + rows * D + columns, mask=inside, other=0.0)
    transposed = tl.load(matrix + columns * D + rows, mask=inside, other=0.0)
    return (straight + transposed) * 0.5


@triton.jit
def _norm(matrix: tl.tensor, D: tl.tensor, SIZE: tl.constexpr, STRIP: tl.constexpr) -> tl.tensor:
    """The Frobenius norm of the symmetric part, at least _TINY. Numbers are scaled before they are squared."""
    largest = tl.zeros((STRIP,), dtype=tl.float32)
    for start in range(0, SIZE, STRIP):
        largest = tl.maximum(largest, tl.max(tl.abs(_load_symmetrized(matrix, start, D, SIZE, STRIP)), axis=1))
    scale = tl.maximum(tl.max(largest, axis=0), _TINY).to(tl.float32)
    squares = tl.zeros((STRIP,), dtype=tl.float32)
    for start in range(0, SIZE, STRIP):
        value = _load_symmetrized(matrix, start, D, SIZE, STRIP) / scale
        squares += tl.sum(value * value, axis=1)
    norm = scale * tl.sqrt(tl.sum(squares, axis=0))
    return tl.where(norm < _TINY, _TINY, norm)  # not a maximum: NaN has to stay NaN


@triton.jit
def _begin(
    matrix: tl.tensor,
    product: tl.tensor,
    root: tl.tensor,
    norm: tl.tensor,
    D: tl.tensor,
    SIZE: tl.constexpr,
    STRIP: tl.constexpr,
) -> None:
    """P = A / norm and Z = (3 I - P) / 2 of the first step."""
    for start in range(0, SIZE, STRIP):
        rows = (start + tl.arange(0, STRIP))[:, None]
        columns = tl.arange(0, SIZE)[None, :]
        diagonal = rows == columns
        value = _load_symmetrized(matrix, start, D, SIZE, STRIP) / norm
        value = tl.where(diagonal & (rows >= D), 1.0, value)
        tl.store(_strip(product, start, SIZE, STRIP), value)
        tl.store(_strip(root, start, SIZE, STRIP), tl.where(diagonal, 1.5, 0.0) - 0.5 * value)
    tl.debug_barrier()


@triton.jit
def _add_product(
    total: tl.tensor,
    left: tl.tensor,
    right: tl.tensor,
    SIZE: tl.constexpr,
    CHUNK: tl.constexpr,
) -> tl.tensor:
    """``total + left right`` of scratch matrices."""
    every = tl.arange(0, SIZE)
    for start in range(0, SIZE, CHUNK):
        inner = start + tl.arange(0, CHUNK)
        a = tl.load(left + every[:, None] * SIZE + inner[None, :])
        b = tl.load(right + inner[:, None] * SIZE + every[None, :])
        total = tl.dot(a, b, acc=total, input_precision="ieee")
    return total


@triton.jit
def _store(matrix: tl.tensor, value: tl.tensor, SIZE: tl.constexpr) -> None:
    """Write a whole scratch matrix, after everybody's reads and before everybody's next ones."""
    tl.debug_barrier()
    tl.store(_strip(matrix, 0, SIZE, SIZE), value)
    tl.debug_barrier()


@triton.jit
def _update(
    out: tl.tensor,
    add: tl.tensor,
    left: tl.tensor,
    right: tl.tensor,
    SIZE: tl.constexpr,
    CHUNK: tl.constexpr,
) -> None:
    """``out = 1.5 add - 0.5 left right``; ``out`` may be one of the others."""
    total = tl.zeros((SIZE, SIZE), dtype=tl.float32)
    total = _add_product(total, left, right, SIZE, CHUNK)
    _store(out, 1.5 * tl.load(_strip(add, 0, SIZE, SIZE)) - 0.5 * total, SIZE)


@triton.jit
def _step(product: tl.tensor, half: tl.tensor, SIZE: tl.constexpr, CHUNK: tl.constexpr) -> None:
    """P <- P T^2 with T = (3 I - P) / 2; ``half`` is overwritten."""
    _update(half, product, product, product, SIZE, CHUNK)
    _update(product, half, product, half, SIZE, CHUNK)


@triton.jit(do_not_specialize=["num_iterations"])
def root_forward(
    matrix: tl.tensor,
    out: tl.tensor,
    scratch: tl.tensor,
    D: tl.tensor,
    num_iterations: tl.tensor,
    SIZE: tl.constexpr,
    CHUNK: tl.constexpr,
) -> None:
    """Z_n / sqrt(norm), symmetrised. Scratch: 3 matrices for each program."""
    program = tl.program_id(0).to(tl.int64)
    matrix += program * D * D
    out += program * D * D
    product = scratch + program * 3 * SIZE * SIZE
    root = product + SIZE * SIZE
    half = root + SIZE * SIZE
    STRIP: tl.constexpr = CHUNK
    norm = _norm(matrix, D, SIZE, STRIP)
    _begin(matrix, product, root, norm, D, SIZE, STRIP)
    for _ in range(1, num_iterations):
        _step(product, half, SIZE, CHUNK)
        _update(root, root, product, root, SIZE, CHUNK)
    scale = tl.sqrt(norm)
    for start in range(0, SIZE, STRIP):
        rows = (start + tl.arange(0, STRIP))[:, None]
        columns = tl.arange(0, SIZE)[None, :]
        straight = tl.load(_strip(root, start, SIZE, STRIP))
        transposed = tl.load(_transposed_strip(root, start, SIZE, STRIP))
        value = (straight + transposed) * 0.5 / scale
        tl.store(out + rows * D + columns, value, mask=(rows < D) & (columns < D))


@triton.jit
def _tangent_step(
    product: tl.tensor,
    tangent: tl.tensor,
    x: tl.tensor,
    v: tl.tensor,
    SIZE: tl.constexpr,
    CHUNK: tl.constexpr,
) -> None:
    """dP <- d(P T^2) = 2.25 dP - 1.5 (X + X^T) + 0.25 (V + V^T), X = dP P, V = (X + X^T / 2) P."""
    zero = tl.zeros((SIZE, SIZE), dtype=tl.float32)
    _store(x, _add_product(zero, tangent, product, SIZE, CHUNK), SIZE)
    for start in range(0, SIZE, CHUNK):
        value = tl.load(_strip(x, start, SIZE, CHUNK)) + 0.5 * tl.load(_transposed_strip(x, start, SIZE, CHUNK))
        tl.store(_strip(v, start, SIZE, CHUNK), value)
    tl.debug_barrier()
    _store(v, _add_product(zero, v, product, SIZE, CHUNK), SIZE)
    for start in range(0, SIZE, CHUNK):
        twice_x = tl.load(_strip(x, start, SIZE, CHUNK)) + tl.load(_transposed_strip(x, start, SIZE, CHUNK))
        twice_v = tl.load(_strip(v, start, SIZE, CHUNK)) + tl.load(_transposed_strip(v, start, SIZE, CHUNK))
        value = 2.25 * tl.load(_strip(tangent, start, SIZE, CHUNK)) - 1.5 * twice_x + 0.25 * twice_v
        tl.debug_barrier()
        tl.store(_strip(tangent, start, SIZE, CHUNK), value)
    tl.debug_barrier()


@triton.jit
def _begin_tangent(
    grad: tl.tensor, tangent: tl.tensor, root_tangent: tl.tensor, D: tl.tensor, SIZE: tl.constexpr, STRIP: tl.constexpr
) -> None:
    """dP is the symmetric part of the gradient, dZ = -dP / 2."""
    for start in range(0, SIZE, STRIP):
        value = _load_symmetrized(grad, start, D, SIZE, STRIP)
        tl.store(_strip(tangent, start, SIZE, STRIP), value)
        tl.store(_strip(root_tangent, start, SIZE, STRIP), -0.5 * value)
    tl.debug_barrier()


@triton.jit
def _finish_backward(
    matrix: tl.tensor,
    result: tl.tensor,
    grad: tl.tensor,
    out: tl.tensor,
    root_tangent: tl.tensor,
    norm: tl.tensor,
    D: tl.tensor,
    SIZE: tl.constexpr,
    STRIP: tl.constexpr,
) -> None:
    """Through P = A / s and through the norm s of R = p(A / s) s^(-1/2)."""
    scale = tl.sqrt(norm)
    columns = tl.arange(0, SIZE)[None, :]
    through_norm = tl.zeros((STRIP,), dtype=tl.float32)
    for start in range(0, SIZE, STRIP):
        rows = (start + tl.arange(0, STRIP))[:, None]
        inside = (rows < D) & (columns < D)
        through_p = tl.load(_strip(root_tangent, start, SIZE, STRIP)) / scale
        scaled = _load_symmetrized(matrix, start, D, SIZE, STRIP) / norm
        upstream = _load_symmetrized(grad, start, D, SIZE, STRIP)
        root = tl.load(result + rows * D + columns, mask=inside, other=0.0)
        through_norm += tl.sum(through_p * scaled + 0.5 * upstream * root, axis=1)
    share = tl.sum(through_norm, axis=0)
    for start in range(0, SIZE, STRIP):
        rows = (start + tl.arange(0, STRIP))[:, None]
        inside = (rows < D) & (columns < D)
        through_p = tl.load(_strip(root_tangent, start, SIZE, STRIP)) / scale
        scaled = _load_symmetrized(matrix, start, D, SIZE, STRIP) / norm
        tl.store(out + rows * D + columns, (through_p - share * scaled) / norm, mask=inside)


@triton.jit(do_not_specialize=["num_iterations"])
def root_backward(
    matrix: tl.tensor,
    result: tl.tensor,
    grad: tl.tensor,
    out: tl.tensor,
    scratch: tl.tensor,
    D: tl.tensor,
    num_iterations: tl.tensor,
    SIZE: tl.constexpr,
    CHUNK: tl.constexpr,
) -> None:
    """Gradient of the matrix; iterates are computed again. Scratch: 6 matrices for each program."""
    program = tl.program_id(0).to(tl.int64)
    matrix += program * D * D
    result += program * D * D
    grad += program * D * D
    out += program * D * D
    product = scratch + program * 6 * SIZE * SIZE
    root = product + SIZE * SIZE
    tangent = root + SIZE * SIZE
    root_tangent = tangent + SIZE * SIZE
    x = root_tangent + SIZE * SIZE
    v = x + SIZE * SIZE
    STRIP: tl.constexpr = CHUNK
    norm = _norm(matrix, D, SIZE, STRIP)
    _begin(matrix, product, root, norm, D, SIZE, STRIP)
    _begin_tangent(grad, tangent, root_tangent, D, SIZE, STRIP)
    for step in range(1, num_iterations):
        _tangent_step(product, tangent, x, v, SIZE, CHUNK)
        _step(product, x, SIZE, CHUNK)
        # d(P Z) = dP Z + P dZ, with the new P and the old Z
        total = tl.zeros((SIZE, SIZE), dtype=tl.float32)
        total = _add_product(total, tangent, root, SIZE, CHUNK)
        total = _add_product(total, product, root_tangent, SIZE, CHUNK)
        _store(root_tangent, 1.5 * tl.load(_strip(root_tangent, 0, SIZE, SIZE)) - 0.5 * total, SIZE)
        if step + 1 < num_iterations:
            _update(root, root, product, root, SIZE, CHUNK)
    _finish_backward(matrix, result, grad, out, root_tangent, norm, D, SIZE, STRIP)
