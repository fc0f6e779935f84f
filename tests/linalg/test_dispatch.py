"""Kernels stand behind linalg's functions: called where they can be, with what they need, and nowhere else."""

from __future__ import annotations

import pytest
import torch

from netdeconv import kernels
from netdeconv.linalg import Grouping, NewtonSchulz, PatchGeometry, covariance, inverse_sqrt, patch_statistics

GEOMETRY = PatchGeometry((3, 2), (2, 1), ((0, 1), (2, 0)), (1, 2))
GROUPING = Grouping(2, 3, 2)


def spd(dtype: torch.dtype = torch.float32, size: int = 6) -> torch.Tensor:
    matrix = torch.randn(2, size, 4 * size, dtype=dtype)
    return matrix @ matrix.mT / size


@pytest.fixture
def calls(monkeypatch):
    """Kernels that can run here: they note their arguments and answer with the plain functions' numbers."""
    noted: list[tuple[str, tuple]] = []

    def root(matrix, num_iterations):
        noted.append(("root", (matrix.shape, num_iterations)))
        monkeypatch.setattr(kernels, "usable", lambda tensor: False)
        answer = NewtonSchulz(num_iterations)(matrix.detach())
        monkeypatch.setattr(kernels, "usable", lambda tensor: True)
        return answer

    def root_backward(matrix, root, grad, num_iterations):
        noted.append(("backward", (matrix.shape, num_iterations)))
        return torch.full_like(matrix, 7.0)

    def statistics(x, kernel_size, step, padding, dilation, g, s, b):
        noted.append(("statistics", (kernel_size, step, list(padding), dilation, g, s, b)))
        geometry = PatchGeometry(kernel_size, step, ((padding[0], padding[1]), (padding[2], padding[3])), dilation)
        return covariance._mean_and_covariance(x, geometry, Grouping(g, s, b))

    monkeypatch.setattr(kernels, "usable", lambda tensor: True)
    monkeypatch.setattr(kernels, "newton_schulz_root", root)
    monkeypatch.setattr(kernels, "newton_schulz_root_backward", root_backward)
    monkeypatch.setattr(kernels, "patch_statistics", statistics)
    return noted


def test_small_float32_roots_and_their_gradients_go_to_the_kernels(calls):
    matrix = spd().requires_grad_()
    inverse_sqrt(matrix, method=NewtonSchulz(4)).sum().backward()
    assert calls == [("root", (matrix.shape, 4)), ("backward", (matrix.shape, 4))]
    assert torch.equal(matrix.grad, torch.full_like(matrix, 7.0))


def test_a_second_derivative_takes_the_plain_path(calls):
    matrix = spd().requires_grad_()
    (grad,) = torch.autograd.grad(inverse_sqrt(matrix).sum(), matrix, create_graph=True)
    assert [name for name, _ in calls] == ["root"]
    assert grad.requires_grad


@pytest.mark.parametrize(("dtype", "size"), [(torch.float64, 6), (torch.float32, 129)])
def test_what_a_kernel_does_not_take_is_computed_plainly(calls, dtype, size):
    inverse_sqrt(spd(dtype, size), method=NewtonSchulz(2))
    patch_statistics(torch.randn(2, 12, 5, dtype=dtype), PatchGeometry((3,), (1,), ((0, 0),), (1,)), GROUPING)
    assert calls == []


def test_statistics_go_to_the_kernel_with_their_geometry(calls):
    x = torch.randn(4, 12, 7, 6)
    _, mean, product = patch_statistics(x, GEOMETRY, GROUPING, image_step=2)
    assert calls == [("statistics", ((3, 2), (2, 1), [0, 1, 2, 0], (1, 2), 2, 3, 2))]
    expected = covariance._mean_and_covariance(x[::2], GEOMETRY, GROUPING)
    assert torch.equal(mean, expected[0])
    assert torch.equal(product, expected[1])


def test_padded_blocks_are_no_work_for_the_kernel(calls):
    patch_statistics(torch.randn(4, 5, 7, 6), GEOMETRY, Grouping(1, 2, 3, 1))
    assert calls == []
