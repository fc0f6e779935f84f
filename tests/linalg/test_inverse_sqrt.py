"""Inverse roots: two oracles (known spectra, eigenvalue polynomial), gradients, refusals, degenerate matrices."""

from __future__ import annotations

import pytest
import torch

from linalg_matrices import SPECTRA, with_spectrum
from netdeconv.linalg import (
    Converged,
    Eigen,
    NewtonSchulz,
    inverse_sqrt,
)
from netdeconv.linalg.converged import tuned_coefficients
from netdeconv.linalg.lyapunov import spectral_decomposition
from tolerances import assert_close, inverse_sqrt_condition, tolerance

EXACT = [Converged(), Eigen(), NewtonSchulz(30)]
METHODS = [*EXACT, NewtonSchulz(1), NewtonSchulz(2), NewtonSchulz(5)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("method", EXACT, ids=str)
def test_exact_methods_equal_the_known_root(method, name, dtype):
    matrix, expected = with_spectrum(SPECTRA[name], dtype)
    condition = inverse_sqrt_condition(SPECTRA[name])
    assert_close(inverse_sqrt(matrix, method=method), expected, size=6, condition=condition, c=8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_iterations", [1, 2, 3, 5, 8])
def test_n_steps_are_the_scalar_iteration_on_every_eigenvalue(num_iterations, dtype):
    values = torch.logspace(0, -4, 7, dtype=torch.float64)
    basis = torch.linalg.qr(torch.randn(7, 7, dtype=torch.float64))[0]
    scale = values.norm()
    y, z = values / scale, torch.ones_like(values)
    for _ in range(num_iterations):  # the coupled iteration as the paper writes it
        t = (3 - z * y) / 2
        y, z = y * t, t * z
    expected = (basis * (z / scale.sqrt())) @ basis.T
    matrix = ((basis * values) @ basis.T).to(dtype)
    actual = inverse_sqrt(matrix, method=NewtonSchulz(num_iterations))
    assert_close(actual, expected.to(dtype), size=7, condition=1.5**num_iterations, c=4)


@pytest.mark.parametrize("shape", [(5, 5), (2, 5, 5), (2, 3, 5, 5), (0, 5, 5)])
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_any_leading_dimensions(method, shape):
    factor = torch.randn(*shape, dtype=torch.float64)
    matrix = factor @ factor.mT + torch.eye(5, dtype=torch.float64)
    root = inverse_sqrt(matrix, method=method)
    assert root.shape == matrix.shape
    for whole, single in zip(root.reshape(-1, 5, 5), matrix.reshape(-1, 5, 5), strict=True):
        assert_close(whole, inverse_sqrt(single, method=method), size=5, condition=10)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_gradient_is_the_derivative(method):
    factor = torch.randn(2, 3, 8, dtype=torch.float64)
    matrix = (factor @ factor.mT / 8 + 0.1 * torch.eye(3, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: inverse_sqrt(a, method=method), matrix)


@pytest.mark.parametrize("method", [Eigen(), Converged()], ids=str)
def test_gradient_is_bounded_where_eigenvalues_repeat(method):
    matrix = torch.eye(4, dtype=torch.float64).mul(4.0).requires_grad_()
    inverse_sqrt(matrix, method=method).sum().backward()
    # d(a^(-1/2)) = -a^(-3/2) / 2 in every direction at a multiple of the identity
    assert_close(matrix.grad, torch.full((4, 4), -(4.0**-1.5) / 2, dtype=torch.float64), size=4, c=16)


def test_second_derivative_of_the_n_step_method():
    factor = torch.randn(3, 6, dtype=torch.float64)
    matrix = (factor @ factor.mT / 6 + 0.2 * torch.eye(3, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda a: inverse_sqrt(a, method=NewtonSchulz(3)), matrix)


@pytest.mark.parametrize("method", [Eigen(), Converged()], ids=str)
def test_second_derivative_of_the_others_is_refused(method):
    matrix = torch.eye(3, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(inverse_sqrt(matrix, method=method).sum(), matrix, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        gradient.sum().backward()


def test_backward_keeps_the_matrix_and_the_result_alone():
    matrix = torch.eye(100, dtype=torch.float32).mul(2).requires_grad_()
    kept: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        root = NewtonSchulz(5)(matrix.unsqueeze(0))
    assert sum(tensor.numel() for tensor in kept) == 2 * root.numel()


def test_autocast_does_not_lower_the_precision():
    matrix, expected = with_spectrum(SPECTRA["graded"], torch.float32)
    matrix.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        root = inverse_sqrt(matrix, method=NewtonSchulz(20))
        root.sum().backward()
    assert_close(root, expected, size=6, condition=inverse_sqrt_condition(SPECTRA["graded"]), c=8)
    inside = matrix.grad.clone()
    matrix.grad = None
    inverse_sqrt(matrix, method=NewtonSchulz(20)).sum().backward()
    assert torch.equal(inside, matrix.grad)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    matrix = torch.diag(torch.tensor([4.0, 1.0], dtype=dtype))
    root = inverse_sqrt(matrix, method=Eigen())
    assert root.dtype == torch.float32
    assert_close(root, torch.diag(torch.tensor([0.5, 1.0])), size=2)


@pytest.mark.parametrize("method", [m for m in METHODS if m != NewtonSchulz(30)], ids=str)
@pytest.mark.parametrize("name", ["zero", "rank one", "indefinite"])
def test_degenerate_matrices_stay_finite(name, method):
    matrix = {
        "zero": torch.zeros(4, 4),
        "rank one": torch.ones(4, 4),
        "indefinite": torch.diag(torch.tensor([1.0, 1.0, 1.0, -1e-6])),
    }[name].requires_grad_()
    root = inverse_sqrt(matrix, method=method)
    assert root.isfinite().all()


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_only_the_symmetric_part_counts(method):
    matrix, _ = with_spectrum(SPECTRA["graded"])
    skew = torch.randn(6, 6, dtype=torch.float64)
    assert_close(
        inverse_sqrt(matrix + skew - skew.T, method=method), inverse_sqrt(matrix, method=method), size=6, condition=1e3
    )


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_the_result_is_symmetric(method):
    root = inverse_sqrt(with_spectrum(SPECTRA["graded"], torch.float32)[0], method=method)
    assert_close(root, root.mT, size=6)


def test_tuned_steps_reach_float32_in_about_ten():
    assert len(tuned_coefficients(1e-6, 1e-6)) <= 12
    x = torch.logspace(-3, 0, 50, dtype=torch.float64)
    for a, b in tuned_coefficients(1e-6, 1e-6):
        x = x * (a - b * x * x)
    assert float((x - 1).abs().max()) <= 1e-6


def test_spectrum_is_raised_to_the_resolution_of_the_dtype():
    values, _ = spectral_decomposition(torch.diag(torch.tensor([1.0, 0.0])))
    assert float(values[0]) == pytest.approx(2 * torch.finfo(torch.float32).eps)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: inverse_sqrt(torch.ones(2, 3)), ValueError, "square matrices"),
        (lambda: inverse_sqrt(torch.ones(3)), ValueError, "square matrices"),
        (lambda: inverse_sqrt(torch.ones(2, 2, dtype=torch.int64)), TypeError, "floating-point"),
        (lambda: NewtonSchulz(0), ValueError, "num_iterations"),
        (lambda: Converged(tolerance=2.0), ValueError, "tolerance"),
        (lambda: Converged(min_eigenvalue=0.0), ValueError, "min_eigenvalue"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_strips_equal_a_plain_product(monkeypatch):
    from netdeconv.linalg import symmetric

    matrix, _ = with_spectrum(torch.logspace(0, -3, 301), torch.float64)
    weight = torch.randn(301, 301, dtype=torch.float64)

    def root_and_gradient() -> tuple[torch.Tensor, torch.Tensor]:
        leaf = matrix.clone().requires_grad_()
        root = inverse_sqrt(leaf)
        (root * weight).sum().backward()
        return root.detach(), leaf.grad

    fast = root_and_gradient()
    monkeypatch.setattr(symmetric, "_SMALLEST", 10**6)
    for actual, expected in zip(fast, root_and_gradient(), strict=True):
        assert_close(actual, expected, size=301, c=1.5**5)
    assert tolerance(torch.float64, size=301) < 1e-12


@pytest.mark.parametrize("steps", [15, 30, 50])
@pytest.mark.parametrize("case", ["rank one", "zero", "one large", "indefinite"])
def test_more_steps_stay_bounded_on_degenerate_matrices(case, steps):
    """However many the steps, no direction is amplified beyond 1 / sqrt(eps)."""
    torch.manual_seed(0)
    row = torch.randn(1, 48)
    matrix = {
        "rank one": row.T @ row,
        "zero": torch.zeros(48, 48),
        "one large": torch.diag(torch.tensor([1e6] + [1.0] * 47)),
        "indefinite": row.T @ row - 1e-7 * torch.eye(48),
    }[case] + 1e-5 * torch.eye(48)
    root = inverse_sqrt(matrix, method=NewtonSchulz(steps))
    assert root.isfinite().all()
    assert float(torch.linalg.matrix_norm(root, 2)) < 2 / 1e-5**0.5


def test_any_function_of_matrices_is_a_method():
    matrix = torch.diag(torch.tensor([4.0, 16.0]))
    root = inverse_sqrt(matrix, method=lambda batch: batch.diagonal(dim1=1, dim2=2).rsqrt().diag_embed())
    assert torch.equal(root, torch.diag(torch.tensor([0.5, 0.25])))
