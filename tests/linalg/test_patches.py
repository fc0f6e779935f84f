"""Sampled patches against unfold, their adjoint, and statistics against plain autograd."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netdeconv.linalg import (
    Grouping,
    PatchGeometry,
    gather_patches,
    patch_statistics,
    scatter_patches,
    tap_covariance,
)
from netdeconv.linalg.portions import portions
from netdeconv.linalg.symmetric import add_gram, complete
from tolerances import assert_close

small = st.integers(1, 3)
# bytes of a portion: one entry of the batch, a few, all
budgets = st.sampled_from([1, 2000, 2**22])


def portions_of(size: int):
    return mock.patch("netdeconv.linalg.portions._BYTES", size)


@st.composite
def geometries(draw) -> tuple[PatchGeometry, torch.Size, Grouping]:
    kernel = (draw(small), draw(small))
    dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    padding = ((draw(st.integers(0, 2)), draw(st.integers(0, 2))), (draw(st.integers(0, 2)), draw(st.integers(0, 2))))
    step = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    grouping = Grouping(draw(small), draw(small), draw(small), draw(st.booleans()))
    channels = grouping.num_matrices * grouping.num_blocks * grouping.block_channels
    shape = torch.Size(
        (draw(st.sampled_from([1, 2, 5, 19])), channels, draw(st.integers(5, 8)), draw(st.integers(5, 8)))
    )
    return PatchGeometry(kernel, step, padding, dilation), shape, grouping


def unfolded(x: torch.Tensor, geometry: PatchGeometry, grouping: Grouping) -> torch.Tensor:
    """Rows of all blocks by torch's im2col, in the order C then K, (G, S, P, B K): the published way."""
    (top, bottom), (left, right) = geometry.padding
    padded = torch.nn.functional.pad(x, (left, right, top, bottom))
    columns = torch.nn.functional.unfold(padded, geometry.kernel_size, geometry.dilation, 0, geometry.step)
    rows = columns.transpose(1, 2).reshape(-1, grouping.num_matrices, columns.shape[1] // grouping.num_matrices)
    if grouping.interleaved:
        return rows.unflatten(2, (-1, grouping.num_blocks)).permute(1, 3, 0, 2)
    return rows.unflatten(2, (grouping.num_blocks, -1)).permute(1, 2, 0, 3)


def to_published_order(patches: torch.Tensor, geometry: PatchGeometry, grouping: Grouping) -> torch.Tensor:
    """Blocks of whole channels are taps then channels here, channels then taps in :func:`unfolded`."""
    if grouping.interleaved:
        return patches
    return patches.unflatten(2, (geometry.num_taps, -1)).transpose(2, 3).flatten(2)


@given(geometries())
def test_patches_are_those_of_unfold(case):
    geometry, shape, grouping = case
    x = torch.randn(shape, dtype=torch.float64)
    actual = to_published_order(gather_patches(x, geometry, grouping, dtype=x.dtype), geometry, grouping)
    assert torch.equal(actual, unfolded(x, geometry, grouping).flatten(1, 2))
    assert geometry.num_samples(shape) * grouping.num_blocks == actual.shape[1]


@given(geometries(), st.booleans())
def test_scattering_is_the_adjoint_of_gathering(case, taps_first):
    geometry, shape, grouping = case
    x = torch.randn(shape, dtype=torch.float64)
    patches = gather_patches(x, geometry, grouping, dtype=x.dtype, taps_first=taps_first)
    other = torch.randn_like(patches)
    back = scatter_patches(other, torch.zeros_like(x), geometry, grouping, taps_first=taps_first)
    assert_close((patches * other).sum(), (x * back).sum(), size=patches.numel(), c=16)


@given(geometries(), st.booleans(), st.booleans(), budgets)
def test_statistics_and_gradient_equal_plain_autograd(case, centred, exclusive, budget):
    geometry, shape, grouping = case
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    with portions_of(budget):
        same, mean, covariance = patch_statistics(x, geometry, grouping, centred=centred, exclusive=exclusive)
        weights = [torch.randn_like(t) for t in (x, mean, covariance)]
        total = sum((t * w).sum() for t, w in zip((same.mul(2), mean, covariance), weights, strict=True))
        (gradient,) = torch.autograd.grad(total, x)
    rows = unfolded(x, geometry, grouping).flatten(1, 2)
    if not grouping.interleaved:  # to the order taps then channels
        rows = rows.unflatten(2, (-1, geometry.num_taps)).transpose(2, 3).flatten(2)
    plain_mean = rows.mean(1)
    centre = rows - plain_mean.unsqueeze(1) if centred else rows
    plain_covariance = centre.mT @ centre / rows.shape[1]
    plain = (2 * x * weights[0]).sum() + (plain_mean * weights[1]).sum() + (plain_covariance * weights[2]).sum()
    (expected,) = torch.autograd.grad(plain, x)
    size = rows.shape[1] * rows.shape[2]
    assert_close(mean, plain_mean, size=size)
    assert_close(covariance, plain_covariance, size=size)
    assert_close(gradient, expected, size=size, c=16)


@given(geometries(), budgets)
def test_tap_covariance_and_gradients_equal_plain_autograd(case, budget):
    geometry, shape, grouping = case
    g, b, k = grouping.num_matrices, grouping.block_channels, geometry.num_taps
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    mean = torch.randn(g, b, dtype=torch.float64, requires_grad=True)
    factor = torch.randn(g, b, b, dtype=torch.float64)
    metric = (factor @ factor.mT).requires_grad_()
    with portions_of(budget):
        same, covariance = tap_covariance(x, mean, metric, geometry, grouping)
        weight = torch.randn_like(covariance)
        actual = torch.autograd.grad((same * 3).sum() + (covariance * weight).sum(), (x, mean, metric))
    channelwise = Grouping(g, grouping.num_blocks, b, grouping.interleaved)
    whole = Grouping(g, 1, grouping.num_blocks * b)
    columns = unfolded(x, geometry, whole)[:, 0].unflatten(2, (-1, k))  # G P C/G K
    inner = Grouping(1, channelwise.num_blocks, b, channelwise.interleaved)
    rows = inner.split(columns, 2).squeeze(2).transpose(1, 2).flatten(1, 2) - mean[:, None, :, None]  # G (S P) B K
    plain = torch.einsum("gnbk,gbc,gncl->gkl", rows, metric, rows) / (rows.shape[1] * b)
    wanted = torch.autograd.grad((x * 3).sum() + (plain * weight).sum(), (x, mean, metric))
    size = rows.numel()
    assert_close(covariance, plain, size=size)
    assert_close(actual[0], wanted[0], size=size, c=16)
    assert_close(actual[1], wanted[1], size=size, c=16)
    assert_close(actual[2], (wanted[2] + wanted[2].mT) / 2, size=size, c=16)


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


def test_raster_samples_rows_of_batch_and_positions():
    x = torch.arange(2 * 3 * 3 * 5.0).view(2, 3, 3, 5)
    geometry = PatchGeometry((1,), (4,), raster=True)
    patches = gather_patches(x, geometry, Grouping(1, 1, 3), dtype=x.dtype)
    assert torch.equal(patches[0], x.permute(0, 2, 3, 1).reshape(-1, 3)[::4])
    back = scatter_patches(patches, torch.zeros_like(x), geometry, Grouping(1, 1, 3))
    assert torch.equal(back.permute(0, 2, 3, 1).reshape(-1, 3)[::4], patches[0])
    assert float(back.sum()) == float(patches.sum())


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
    grouping = Grouping(1, 2, size, True)
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


@pytest.mark.parametrize("layout", ["interleaved", "blocks"])
def test_the_bfloat16_gradient_is_the_float32_one_rounded_wherever_the_mean_is(layout):
    geometry = PatchGeometry((3, 3), (3, 3), ((0, 0), (0, 0)), (1, 1))
    grouping = Grouping(1, 2, 4, layout == "interleaved")
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


@pytest.mark.parametrize("centred", [True, False])
def test_portions_give_the_statistics_of_the_whole(centred):
    x = torch.arange(19.0).view(-1, 1, 1, 1) + torch.randn(19, 4, 6, 6, dtype=torch.float64)
    geometry, grouping = PatchGeometry((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)), Grouping(1, 2, 2, True)
    whole = patch_statistics(x, geometry, grouping, centred=centred)
    with portions_of(5000):
        _, mean, covariance = patch_statistics(x, geometry, grouping, centred=centred)
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
        assert portions(x, PatchGeometry((1,), (2,), raster=True), torch.float32) == [slice(None)]
    with portions_of(300):  # autograd records one function of all
        assert portions(x, pixels, torch.float32) == [slice(None)]


def test_kernel_larger_than_input_is_refused():
    geometry = PatchGeometry((5, 5), (1, 1), ((1, 1), (1, 1)), (1, 1))
    with pytest.raises(ValueError, match=r"kernel \(5, 5\).*larger than the input \(2, 9\)"):
        gather_patches(torch.ones(1, 1, 2, 9), geometry, Grouping(1, 1, 1), dtype=torch.float32)


@pytest.mark.parametrize(
    ("channels", "groups", "size", "published", "expected"),
    [(64, 1, 64, False, (1, 64)), (96, 1, 64, False, (2, 48)), (96, 1, 64, True, (3, 32)), (3, 1, 64, True, (1, 3)),
     (12, 1, 8, True, (3, 4)), (12, 1, 8, False, (2, 6)), (8, 2, 64, False, (1, 4)), (7, 1, 4, False, (7, 1))],
)  # fmt: skip
def test_blocks_divide_the_channels(channels, groups, size, published, expected):
    grouping = Grouping.of(channels, groups, size, interleaved=False, common_divisor=published)
    assert (grouping.num_blocks, grouping.block_channels) == expected


def test_a_grouping_needs_positive_counts():
    with pytest.raises(ValueError, match="positive"):
        Grouping(1, 0, 4)


@given(geometries())
def test_merge_undoes_split(case):
    _, shape, grouping = case
    x = torch.randn(shape)
    assert torch.equal(grouping.merge(grouping.split(x, 1), 1), x)
