"""Mean and scale without a covariance: the same numbers, and their gradient."""

from __future__ import annotations

import pytest
import torch

from netdeconv.linalg import Grouping, PatchGeometry, patch_scale, patch_statistics
from tolerances import assert_close

GEOMETRIES = {
    "3x3 padded": PatchGeometry((3, 3), (3, 3), ((1, 1), (1, 1)), (1, 1)),
    "3x2 dilated": PatchGeometry((3, 2), (2, 1), ((0, 1), (2, 0)), (1, 2)),
    "1x1": PatchGeometry((1, 1), (2, 2), ((0, 0), (0, 0)), (1, 1)),
}
cases = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
groupings = pytest.mark.parametrize(
    "grouping", [Grouping(1, 3, 2, True), Grouping(2, 1, 3), Grouping(3, 2, 1)], ids=["interleaved", "groups", "both"]
)


@groupings
@cases
def test_equals_mean_and_trace_of_the_covariance(geometry, grouping):
    x = torch.randn(4, 6, 7, 6, dtype=torch.float64).cumsum(1) + 2
    same, mean, scale = patch_scale(x, geometry, grouping)
    _, expected_mean, covariance = patch_statistics(x, geometry, grouping)
    assert torch.equal(same, x)
    assert_close(mean, expected_mean, size=150)
    assert_close(scale, covariance.diagonal(dim1=1, dim2=2).mean(1), size=150, condition=10)


@groupings
@cases
def test_gradients(geometry, grouping):
    x = torch.randn(3, 6, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: patch_scale(x, geometry, grouping), x)
    assert torch.autograd.gradgradcheck(lambda x: patch_scale(x, geometry, grouping), x, fast_mode=True)


def test_vectors():
    x = torch.randn(9, 6, dtype=torch.float64, requires_grad=True)
    grouping = Grouping(1, 2, 3)
    _, mean, scale = patch_scale(x, PatchGeometry(), grouping)
    blocks = x.reshape(18, 3)
    assert_close(mean, blocks.mean(0, keepdim=True), size=18)
    assert_close(scale, blocks.var(0, correction=0).mean().view(1), size=18)
    assert torch.autograd.gradcheck(lambda x: patch_scale(x, PatchGeometry(), grouping), x)


def test_in_place_gradient_is_the_same():
    geometry, grouping = GEOMETRIES["3x3 padded"], Grouping(1, 3, 2, True)
    gradients = []
    for exclusive in (False, True):
        x = torch.randn(3, 6, 5, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
        same, mean, scale = patch_scale(x, geometry, grouping, exclusive=exclusive)
        (same.square().sum() + mean.sum() + scale.sum()).backward()
        gradients.append(x.grad)
    assert torch.equal(*gradients)


def test_bfloat16_input_is_summed_in_float32():
    x = (torch.randn(256, 4, 6, 6) + 3).bfloat16()
    geometry, grouping = GEOMETRIES["1x1"], Grouping(1, 2, 2)
    _, mean, scale = patch_scale(x, geometry, grouping)
    _, expected_mean, expected_scale = patch_scale(x.double(), geometry, grouping)
    assert mean.dtype == scale.dtype == torch.float32
    assert_close(mean.double(), expected_mean, dtype=torch.float32, size=256)
    assert_close(scale.double(), expected_scale, dtype=torch.float32, size=256, condition=20)


def test_a_raster_is_refused():
    with pytest.raises(ValueError, match="raster"):
        patch_scale(torch.randn(2, 4, 3, 3), PatchGeometry((1,), (2,), raster=True), Grouping(1, 1, 4))


@pytest.mark.parametrize("statistics", [patch_scale, patch_statistics])
def test_bfloat16_gradients_do_not_see_a_shift(statistics):
    """Scale and covariance do not change when a channel is shifted, so its gradient sums to rounding errors.

    Rounded to eps / 2 of its size, each independently, entries add up to eps / 2 of their root sum of squares; four
    standard deviations, doubled for the two roundings before. A part of the mean left in every entry gives ten times
    as much.
    """
    torch.manual_seed(0)
    x = (torch.randn(128, 4, 6, 6) + 8).bfloat16().requires_grad_()
    same, _, second = statistics(x, GEOMETRIES["1x1"], Grouping(1, 1, 4))
    weight = torch.eye(4) + 0.3 if second.dim() == 3 else torch.ones(1)
    ((second * weight).sum() + 0 * same.sum()).backward()
    gradient = x.grad.float()
    bound = 4 * torch.finfo(torch.bfloat16).eps * gradient.square().sum((0, 2, 3)).sqrt()
    assert (gradient.sum((0, 2, 3)).abs() < bound).all()
