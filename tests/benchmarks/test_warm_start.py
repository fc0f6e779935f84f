"""Roots that start from the step before."""

import pytest
import torch
from benchmarks.warm_start import WarmRoot, leading_vector, warm_started

import netdeconv as nd
from benchmarks import warm_start
from netdeconv.linalg import whitening_residual


def covariances(count=2, size=6):
    factor = torch.randn(count, size, 3 * size, dtype=torch.float64)
    return factor @ factor.mT / (3 * size) + 1e-2 * torch.eye(size, dtype=torch.float64)


def near_roots(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    turned = torch.linalg.qr(torch.randn_like(matrix))[0]
    return vectors * (values * (1 + 0.2 * torch.rand_like(values))).rsqrt().unsqueeze(1) @ turned


def test_it_whitens_from_any_near_start():
    matrix = covariances()
    start = near_roots(matrix)
    root = WarmRoot.apply(matrix, start, 4)
    eye = torch.eye(6, dtype=torch.float64).expand_as(matrix)
    torch.testing.assert_close(root.mT @ matrix @ root, eye, atol=1e-9, rtol=0)


@pytest.mark.parametrize("larger", [1.0, 30.0])
def test_gradient(monkeypatch, larger):
    """Also where M is scaled; with power steps enough that the eigenvector's own change plays no part."""
    monkeypatch.setattr(warm_start, "_POWER_STEPS", 200)
    matrix = covariances()
    start = near_roots(matrix) * torch.linspace(1, 0.5, 6)  # eigenvalues apart

    def call(half):
        return WarmRoot.apply(larger * (half + half.mT), start, 2)

    assert torch.autograd.gradcheck(call, (matrix / 2).requires_grad_())


def test_a_jump_stays_finite_and_is_caught_up_with():
    matrix = covariances() * 1e4
    root = near_roots(matrix / 1e4)
    residuals = []
    for _ in range(12):
        root = WarmRoot.apply(matrix, root, 2)
        residuals.append(float((root.mT @ matrix @ root - torch.eye(6)).norm()))
    assert residuals[-1] < 1e-6


def test_leading_vector():
    matrix = covariances(3)
    vector = leading_vector(matrix)
    found = (vector.mT @ matrix @ vector).flatten()
    exact = torch.linalg.eigvalsh(matrix)[:, -1]
    assert (found <= exact * (1 + 1e-12)).all()
    torch.testing.assert_close(found, exact, rtol=0.1, atol=0)


def test_layers_go_on_where_they_were():
    """The same batch again: few steps bring the residual down further and further, where a cold start stays."""
    layer = nd.WhitenedConv2d(4, 5, 3, whitening=nd.Whitening(num_iterations=3))
    x = torch.randn(8, 4, 16, 16) @ torch.randn(16, 16)
    kept = []

    def residual():
        _, statistics = layer._statistics(x)
        kept.append(statistics.matrix)
        covariance = torch.linalg.inv(exact_root @ exact_root)
        return float(whitening_residual(covariance, statistics.matrix))

    exact = nd.WhitenedConv2d(4, 5, 3, whitening=nd.Whitening(num_iterations=40)).double()
    exact_root = exact._statistics(x.double())[1].matrix.float()
    with warm_started(2):
        residuals = [residual() for _ in range(8)]
    assert residuals[-1] < 0.05 * residuals[0]
    assert torch.equal(kept[0], layer._statistics(x)[1].matrix)  # outside, cold again


@pytest.mark.parametrize("freeze", [None, nd.Freeze(active=1, period=2)])
def test_frozen_layers_are_left_alone(freeze):
    layer = nd.WhitenedConv2d(4, 5, 3, whitening=nd.Whitening(freeze=freeze))
    x = torch.randn(8, 4, 9, 9)
    with warm_started(2):
        matrices = [layer._statistics(x)[1].matrix for _ in range(3)]
    assert torch.equal(matrices[0], matrices[2]) == (freeze is not None)
