"""The steps through eigenvalues are the steps through products: values, gradients, close eigenvalues, NaN."""

from __future__ import annotations

import pytest
import torch

from netdeconv.linalg import NewtonSchulz, spectral_steps
from tolerances import assert_close

SIZE = 9


@pytest.fixture
def through_eigenvalues(monkeypatch):
    """Lets small matrices go through their eigenvalues too, and counts how many did."""
    calls = []

    def decompose(matrix):
        calls.append(matrix.shape)
        return original(matrix)

    original = spectral_steps.decompose
    monkeypatch.setattr(spectral_steps, "_SMALLEST", 1)
    monkeypatch.setattr(spectral_steps, "decompose", decompose)
    return calls


def covariances(dtype: torch.dtype, count: int = 2) -> torch.Tensor:
    rows = torch.randn(count, 40, SIZE, dtype=torch.float64) * torch.logspace(0, -2, SIZE, dtype=torch.float64)
    return (rows.mT @ rows / 40 + 1e-5 * torch.eye(SIZE)).to(dtype)


def by_products(matrix, grad, steps, monkeypatch):
    """Root and gradient with the eigenvalues switched off."""
    with monkeypatch.context() as patch:
        patch.setattr(spectral_steps, "_SMALLEST", 10**9)
        leaf = matrix.detach().clone().requires_grad_()
        root = NewtonSchulz(steps)(leaf)
        root.backward(grad)
    return root.detach(), leaf.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("steps", [1, 2, 5, 7])
def test_values_and_gradients_are_those_of_the_products(through_eigenvalues, monkeypatch, steps, dtype):
    matrix, grad = covariances(dtype).requires_grad_(), torch.randn(2, SIZE, SIZE, dtype=dtype)
    root = NewtonSchulz(steps)(matrix)
    root.backward(grad)
    assert through_eigenvalues
    expected, expected_grad = by_products(matrix, grad, steps, monkeypatch)
    assert_close(root, expected, size=SIZE, condition=1.5**steps)
    # the gradient of the norm's part has a norm of its own in the denominator
    size = expected_grad.norm()
    assert_close(matrix.grad / size, expected_grad / size, size=SIZE, condition=1.5**steps)


def test_many_steps_and_small_matrices_stay_with_products(through_eigenvalues, monkeypatch):
    matrix = covariances(torch.float64)
    NewtonSchulz(spectral_steps.MOST_STEPS + 1)(matrix)
    assert not through_eigenvalues
    monkeypatch.setattr(spectral_steps, "_SMALLEST", SIZE + 1)
    NewtonSchulz(5)(matrix)
    assert not through_eigenvalues


@pytest.mark.parametrize("steps", [1, 5])
def test_the_gradient_is_the_derivative(through_eigenvalues, steps):
    matrix = covariances(torch.float64, 1)[:, :4, :4].requires_grad_()
    assert torch.autograd.gradcheck(NewtonSchulz(steps), matrix)
    assert through_eigenvalues


def test_a_second_derivative_is_still_there(through_eigenvalues):
    matrix = (covariances(torch.float64, 1)[:, :3, :3] + 0.1 * torch.eye(3)).requires_grad_()
    assert torch.autograd.gradgradcheck(NewtonSchulz(3), matrix)
    assert through_eigenvalues


def test_nothing_cancels_where_eigenvalues_are_close_or_equal():
    values = torch.tensor([[0.5, 0.5, 0.5 + 1e-7, 0.1, 0.0]], dtype=torch.float64)
    found = spectral_steps.divided_differences(values, 5)
    x = values.clone().requires_grad_()
    (slope,) = torch.autograd.grad(spectral_steps.steps_on(x, 5).sum(), x)
    assert_close(found.diagonal(dim1=-2, dim2=-1), slope, size=5)
    assert_close(found[0, 0, 1], slope[0, 0], size=5)
    between = (spectral_steps.steps_on(values, 5)[0, 3] - spectral_steps.steps_on(values, 5)[0, 4]) / 0.1
    assert_close(found[0, 3, 4], between, size=5)
    assert_close(found, found.mT, size=5)


def test_what_has_no_eigenvalues_stays_nan_instead_of_raising(through_eigenvalues):
    matrix = covariances(torch.float32)
    matrix[0, 1, 1] = torch.nan
    matrix.requires_grad_()
    root = NewtonSchulz(5)(matrix)
    root.sum().backward()
    assert through_eigenvalues
    assert root.isnan().any()
    assert matrix.grad.isnan().any()


def test_kept_are_the_matrix_its_eigenvectors_eigenvalues_and_norm():
    matrix = torch.eye(300).mul(2).requires_grad_()
    kept: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        root = NewtonSchulz(5)(matrix.unsqueeze(0))
    assert sum(tensor.numel() for tensor in kept) == 2 * root.numel() + 300 + 1
