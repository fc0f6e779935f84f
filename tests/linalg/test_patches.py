"""Sampled patches against unfold, their adjoint, and statistics against plain autograd."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netdeconv.linalg import (
    Grouping,
    PatchGeometry,
    gather_patches,
    patch_statistics,
)
from netdeconv.linalg.patches import PatchCopier, portions
from netdeconv.linalg.symmetric import add_gram, complete
from tolerances import assert_close

small = st.integers(1, 3)
# bytes of a portion: one entry of the batch, a few, all
budgets = st.sampled_from([1, 2000, 2**22])


def portions_of(size: int):
    return mock.patch("netdeconv.linalg.patches._BYTES", size)


@st.composite
def geometries(draw) -> tuple[PatchGeometry, torch.Size, Grouping]:
    kernel = (draw(small), draw(small))
    dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    padding = ((draw(st.integers(0, 2)), draw(st.integers(0, 2))), (draw(st.integers(0, 2)), draw(st.integers(0, 2))))
    step = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    grouping = Grouping(draw(small), draw(small), (size := draw(small)), draw(st.integers(0, size - 1)))
    channels = grouping.num_matrices * grouping.group_channels
    shape = torch.Size(
        (draw(st.sampled_from([1, 2, 5, 19])), channels, draw(st.integers(5, 8)), draw(st.integers(5, 8)))
    )
    return PatchGeometry(kernel, step, padding, dilation), shape, grouping


def unfolded(x: torch.Tensor, geometry: PatchGeometry, grouping: Grouping) -> torch.Tensor:
    """Rows of all blocks by torch's im2col, (G, S, P, K B), padded blocks with zeros."""
    (top, bottom), (left, right) = geometry.padding
    padded = torch.nn.functional.pad(x, (left, right, top, bottom))
    columns = torch.nn.functional.unfold(padded, geometry.kernel_size, geometry.dilation, 0, geometry.step)
    rows = columns.transpose(1, 2).flatten(0, 1).unflatten(1, (grouping.num_matrices, -1, geometry.num_taps))
    rows = torch.nn.functional.pad(rows, (0, 0, 0, grouping.padding))  # P G C/G K
    blocks = rows.unflatten(2, (grouping.num_blocks, -1))
    return blocks.permute(1, 2, 0, 4, 3).flatten(3)


@given(geometries())
@settings(max_examples=20)
def test_patches_are_those_of_unfold(case):
    geometry, shape, grouping = case
    x = torch.randn(shape, dtype=torch.float64)
    actual = gather_patches(x, geometry, grouping, dtype=x.dtype)
    assert torch.equal(actual, unfolded(x, geometry, grouping).flatten(1, 2))
    assert geometry.num_samples(shape) * grouping.num_blocks == actual.shape[1]


@given(geometries())
@settings(max_examples=20)
def test_scattering_is_the_adjoint_of_gathering(case):
    geometry, shape, grouping = case
    x = torch.randn(shape, dtype=torch.float64)
    patches = gather_patches(x, geometry, grouping, dtype=x.dtype)
    other = torch.randn_like(patches)
    back = PatchCopier(geometry, grouping).scatter(other, torch.zeros_like(x))
    assert_close((patches * other).sum(), (x * back).sum(), size=patches.numel(), c=16)


@given(geometries(), st.booleans(), budgets)
@settings(max_examples=20)
def test_statistics_and_gradient_equal_plain_autograd(case, exclusive, budget):
    geometry, shape, grouping = case
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    with portions_of(budget):
        same, mean, covariance = patch_statistics(x, geometry, grouping, exclusive=exclusive)
        weights = [torch.randn_like(t) for t in (x, mean, covariance)]
        total = sum((t * w).sum() for t, w in zip((same.mul(2), mean, covariance), weights, strict=True))
        (gradient,) = torch.autograd.grad(total, x)
    rows = unfolded(x, geometry, grouping).flatten(1, 2)
    plain_mean = rows.mean(1)
    centre = rows - plain_mean.unsqueeze(1)
    plain_covariance = centre.mT @ centre / rows.shape[1]
    plain = (2 * x * weights[0]).sum() + (plain_mean * weights[1]).sum() + (plain_covariance * weights[2]).sum()
    (expected,) = torch.autograd.grad(plain, x)
    size = rows.shape[1] * rows.shape[2]
    assert_close(mean, plain_mean, size=size)
    assert_close(covariance, plain_covariance, size=size)
    assert_close(gradient, expected, size=size, c=16)


@pytest.mark.parametrize("axes", [0, 1, 3])
def test_other_numbers_of_axes(axes):
    x = torch.randn(4, 6, *(7, 6, 5)[:axes], dtype=torch.float64)
    geometry = PatchGeometry((2,) * axes, (3,) * axes, ((1, 0),) * axes, (1,) * axes)
    grouping = Grouping(2, 1, 3)
    _, mean, covariance = patch_statistics(x, geometry, grouping)
    patches = gather_patches(x, geometry, grouping, dtype=x.dtype)
    assert patches.shape == (2, geometry.num_samples(x.shape), 3 * 2**axes)
    assert_close(mean, patches.mean(1), size=patches.shape[1])
    centre = patches - patches.mean(1, keepdim=True)
    assert_close(covariance, centre.mT @ centre / patches.shape[1], size=patches.shape[1])


@pytest.mark.parametrize("budget", [1, 2**22])
def test_centring_comes_before_the_product(budget):
    x = 1e4 + torch.randn(64, 2, 8, 8)
    geometry = PatchGeometry((1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1))
    with portions_of(budget):
        _, _, covariance = patch_statistics(x, geometry, Grouping(1, 1, 2))
    _, _, expected = patch_statistics(x.double(), geometry, Grouping(1, 1, 2))
    # the mean is known to eps * 1e4; a difference of squares would be wrong by eps * 1e8, more than the variance
    assert_close(covariance, expected.float(), size=8, condition=1e2)


def test_bfloat16_input_gives_float32_statistics():
    x = torch.randn(8, 4, 9, 9, dtype=torch.bfloat16)
    geometry = PatchGeometry((3, 3), (3, 3), ((1, 1), (1, 1)), (1, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, mean, covariance = patch_statistics(x, geometry, Grouping(1, 1, 4))
    _, _, expected = patch_statistics(x.float(), geometry, Grouping(1, 1, 4))
    assert mean.dtype == covariance.dtype == torch.float32
    assert torch.equal(covariance, expected)


@pytest.mark.parametrize("budget", [5000, 2**22])
@pytest.mark.parametrize("size", [4, 40])
def test_rounded_factors_change_a_covariance_by_their_rounding_wherever_the_mean_is(size, budget):
    geometry = PatchGeometry((3, 3), (3, 3), ((0, 0), (0, 0)), (1, 1))
    grouping = Grouping(1, 2, size)
    x = (30 + torch.randn(32, 2 * size, 9, 9)).bfloat16()
    with portions_of(budget):
        _, mean, covariance = patch_statistics(x, geometry, grouping, factors=torch.bfloat16)
    _, expected_mean, expected = patch_statistics(x.double(), geometry, grouping)
    assert covariance.dtype == torch.float32
    assert torch.equal(covariance, covariance.mT)
    deviations = expected.diagonal(dim1=1, dim2=2).sqrt()
    eps = torch.finfo(torch.bfloat16).eps
    error = (covariance - expected) / (deviations.unsqueeze(1) * deviations.unsqueeze(2))
    assert error.abs().max() < 2 * eps
    assert error.abs().mean() < eps / 16
    assert ((mean - expected_mean) / deviations).abs().max() < eps
    with portions_of(budget):
        _, _, wide = patch_statistics(x, geometry, grouping)
    assert (wide - expected).abs().max() < (covariance - expected).abs().max() / 8


def test_the_bfloat16_gradient_is_the_float32_one_rounded_wherever_the_mean_is():
    geometry = PatchGeometry((3, 3), (3, 3), ((0, 0), (0, 0)), (1, 1))
    grouping = Grouping(1, 2, 4)
    x = (30 + torch.randn(16, 8, 9, 9)).bfloat16()
    slope = torch.randn(1, 36, 36)
    gradients = []
    for own in (x, x.float()):
        leaf = own.clone().requires_grad_()
        with portions_of(10_000):
            _, _, covariance = patch_statistics(leaf, geometry, grouping)
            (gradient,) = torch.autograd.grad((covariance * slope).sum(), leaf)
        gradients.append(gradient.float())
    actual, expected = gradients
    # a covariance does not see shifts: no part of the mean may be left in the sum over rows, only roundings, n of them
    error = (actual - expected).abs().max() / expected.abs().max()
    assert error < 2 * torch.finfo(torch.bfloat16).eps
    drift = (actual - expected).sum((0, 2, 3)).abs().max() / expected.abs().sum((0, 2, 3)).max()
    assert drift < torch.finfo(torch.bfloat16).eps / 8


def test_portions_give_the_statistics_of_the_whole():
    x = torch.arange(19.0).view(-1, 1, 1, 1) + torch.randn(19, 4, 6, 6, dtype=torch.float64)
    geometry, grouping = PatchGeometry((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)), Grouping(1, 2, 2)
    whole = patch_statistics(x, geometry, grouping)
    with portions_of(5000):
        _, mean, covariance = patch_statistics(x, geometry, grouping)
    assert_close(mean, whole[1], size=19 * 9 * 2)
    assert_close(covariance, whole[2], size=19 * 9 * 2)


@pytest.mark.parametrize("size", [7, 257])
def test_products_of_rows_add_up_to_a_symmetric_matrix(size):
    parts = [torch.randn(2, 11, size, dtype=torch.float64) for _ in range(3)]
    total = torch.zeros(2, size, size, dtype=torch.float64)
    with torch.no_grad():
        for part in parts:
            add_gram(total, part)
        complete(total)
    rows = torch.cat(parts, 1)
    assert_close(total, rows.mT @ rows, size=33)


def test_a_batch_is_worked_on_in_portions():
    pixels = PatchGeometry((1,), (1,), ((0, 0),), (1,))
    x = torch.zeros(10, 5, 5)  # 100 bytes an entry
    with torch.no_grad(), portions_of(300):
        assert [len(x[part]) for part in portions(x, pixels, torch.float32)] == [3, 3, 3, 1]
        assert [len(x[part]) for part in portions(x, pixels, torch.bfloat16)] == [6, 4]
        assert len(portions(x.repeat(1, 4, 1), pixels, torch.float32)) == 10
        assert portions(x[:3], pixels, torch.float32) == [slice(None)]
        assert portions(x.to("meta"), pixels, torch.float32) == [slice(None)]
    with portions_of(300):  # autograd records one function of all
        assert portions(x, pixels, torch.float32) == [slice(None)]


def test_kernel_larger_than_input_is_refused():
    geometry = PatchGeometry((5, 5), (1, 1), ((1, 1), (1, 1)), (1, 1))
    with pytest.raises(ValueError, match=r"kernel \(5, 5\).*larger than the input \(2, 9\)"):
        gather_patches(torch.ones(1, 1, 2, 9), geometry, Grouping(1, 1, 1), dtype=torch.float32)


@pytest.mark.parametrize(
    ("channels", "groups", "size", "expected"),
    [(64, 1, 64, (1, 64, 0)), (96, 1, 64, (2, 48, 0)), (12, 1, 8, (2, 6, 0)), (8, 2, 64, (1, 4, 0)),
     (7, 1, 4, (2, 4, 1)), (17, 1, 16, (2, 9, 1)), (127, 1, 64, (2, 64, 1)), (334, 1, 64, (6, 56, 2))],
)  # fmt: skip
def test_blocks_divide_the_channels_or_are_filled_up(channels, groups, size, expected):
    grouping = Grouping.of(channels, groups, size)
    assert (grouping.num_blocks, grouping.block_channels, grouping.padding) == expected
    assert grouping.num_matrices * grouping.group_channels == channels


def test_a_grouping_needs_positive_counts():
    with pytest.raises(ValueError, match="positive"):
        Grouping(1, 0, 4)
    with pytest.raises(ValueError, match="less than a block"):
        Grouping(1, 2, 4, 4)


@given(geometries())
@settings(max_examples=20)
def test_merge_undoes_split(case):
    _, shape, grouping = case
    x = torch.randn(shape)
    assert torch.equal(grouping.merge(grouping.split(x, 1), 1), x)
