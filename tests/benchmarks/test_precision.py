"""Rounded products: what tensor cores take is emulated to the bit."""

from __future__ import annotations

import torch
from benchmarks.precision import PRODUCTS, root, round_mantissa, whitened_error

from netdeconv.linalg import NewtonSchulz, inverse_sqrt
from tolerances import assert_close


def test_seven_bits_are_bfloat16():
    numbers = torch.cat([torch.randn(1000) * 10 ** torch.randn(1000), torch.tensor([0.0, 1.00390625, 1.01171875])])
    assert torch.equal(round_mantissa(numbers, 7), numbers.bfloat16().float())


def test_ten_bits_are_those_of_half_precision():
    numbers = torch.rand(1000) + 0.5
    assert torch.equal(round_mantissa(numbers, 10), numbers.half().float())


def test_the_root_is_the_library_s():
    matrix = torch.randn(2, 6, 30, dtype=torch.float64)
    matrix = matrix @ matrix.mT / 30
    expected = inverse_sqrt(matrix, method=NewtonSchulz(5))
    assert_close(root(matrix, 5, torch.matmul), expected, size=6, condition=10)
    assert whitened_error(matrix, expected, expected) == 0
    assert abs(whitened_error(matrix, 1.5 * expected, expected) - 0.5) < 1e-12


def test_more_bits_err_less():
    matrix = torch.randn(1, 32, 64, dtype=torch.float64)
    matrix = matrix @ matrix.mT / 64
    exact = root(matrix, 5, torch.matmul)
    errors = {name: float((root(matrix.float(), 5, product) - exact).norm()) for name, product in PRODUCTS.items()}
    assert errors["float32"] < errors["split bfloat16, three products"] < errors["TF32"] < errors["bfloat16"]
