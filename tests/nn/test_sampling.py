"""Which rows are sampled: every position of small maps, and fewer entries of a batch where enough rows remain."""

from __future__ import annotations

import dataclasses
import warnings

import pytest
import torch

import netdeconv as nd
import netdeconv.nn as nnd
from layers import SETTINGS, setting_id
from netdeconv.linalg import Grouping, PatchGeometry
from netdeconv.nn.sampler import Sampler
from tolerances import assert_close

PIXELS = PatchGeometry((1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1))


@pytest.mark.parametrize(
    ("batch", "enough", "expected"),
    [
        (128, None, 1),
        (128, 16, 4),  # 128 * 16 rows for 4 features: 32 steps, but 32 entries must remain
        (128, 256, 2),  # 2048 rows, of which 1024 are enough; blocks of one position are no further rows
        (128, 257, 1),
        (64, 1, 2),
        (63, 1, 1),
    ],
)
def test_every_nth_entry_where_enough_remain(batch, enough, expected):
    sampler = Sampler(PIXELS, Grouping(1, 2, 4), nnd.Whitening(sampling_stride=3, rows_per_feature=enough))
    geometry, step = sampler.plan(torch.Size((batch, 8, 12, 12)))
    assert (geometry.step, step) == ((3, 3), expected)


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (2, 1), (4, 1), (5, 2), (8, 2), (9, 3), (32, 3)])
def test_a_small_map_is_sampled_more_densely(size, stride):
    sampler = Sampler(PIXELS, Grouping(1, 1, 4), nnd.Whitening(sampling_stride=3))
    geometry, _ = sampler.plan(torch.Size((16, 4, size, 40)))
    assert geometry.step == (stride, 3)


def test_a_denser_sample_takes_so_many_fewer_images():
    sampler = Sampler(PIXELS, Grouping(1, 1, 4), nnd.Whitening(sampling_stride=3))
    assert sampler.plan(torch.Size((256, 4, 2, 2))) == (PIXELS, 4)
    assert sampler.num_rows(torch.Size((256, 4, 2, 2))) == 256  # as at one position of all of them
    assert sampler.plan(torch.Size((63, 4, 2, 2)))[1] == 1  # of a small batch all
    volume = PatchGeometry((1,) * 3, (1,) * 3, ((0, 0),) * 3, (1,) * 3)
    sampler = Sampler(volume, Grouping(1, 1, 4), nnd.Whitening(sampling_stride=3))
    assert sampler.plan(torch.Size((128, 4, 2, 2, 2))) == (volume, 4)  # also where fewer would do


def test_entries_that_are_left_out_come_out_alike():
    """Of a batch of 16 eight once were sampled, and the others' outputs grew with every layer, to sixfold."""
    layers = (part for _ in range(12) for part in (torch.nn.Conv2d(40, 40, 1), torch.nn.ReLU()))
    model = nd.convert(torch.nn.Sequential(torch.nn.Conv2d(40, 40, 1), *layers))
    y = model(torch.randn(16, 40, 2, 2))
    assert float(y[1::2].detach().std() / y[::2].detach().std()) < 1.3


@pytest.mark.parametrize("settings", SETTINGS, ids=setting_id)
def test_a_sample_is_as_good_as_its_entries_alone(settings):
    """Statistics are those of every third entry; the gradient through them reaches these alone."""
    settings = dataclasses.replace(settings, rows_per_feature=1, sampling_stride=1)
    layer = nnd.WhitenedConv2d(4, 3, 3, dtype=torch.float64, whitening=settings)
    other = nnd.WhitenedConv2d(
        4, 3, 3, dtype=torch.float64, whitening=dataclasses.replace(settings, rows_per_feature=None)
    )
    other.load_state_dict(layer.state_dict())
    x = torch.randn(96, 4, 7, 7, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    expected = other(x[::3])
    assert_close(y[::3], expected, size=36, condition=10)
    upstream = torch.zeros_like(y)
    upstream[::3] = torch.randn_like(expected)
    ours = torch.autograd.grad(y, [x, layer.weight, layer.bias], upstream)
    theirs = torch.autograd.grad(expected, [x, other.weight, other.bias], upstream[::3])
    for actual, wanted in zip(ours, theirs, strict=True):
        assert_close(actual, wanted, size=500, condition=100)


def test_sampled_rows_are_those_of_the_statistics():
    layer = nnd.WhitenedConv2d(4, 3, 3, padding=1, whitening=nnd.Whitening(group_size=2), dtype=torch.float64)
    x = torch.randn(5, 4, 9, 9, dtype=torch.float64)
    layer(x)
    rows = layer.sampled_rows(x)
    assert rows.shape == (1, 5 * 3 * 3 * 2, 18)
    assert_close(layer.statistics.running_mean, rows.mean(1), size=90)


def test_few_rows_are_warned_of_once_by_name():
    model = nd.convert(torch.nn.Sequential(torch.nn.Linear(80, 2)), nnd.Whitening(group_size=80))
    with pytest.warns(RuntimeWarning, match="0: 9 sampled rows for 80 features.*sync_statistics"):
        model(torch.randn(9, 80))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(torch.randn(9, 80))
        nnd.WhitenedLinear(80, 2, whitening=nnd.Whitening(group_size=80))(torch.randn(10, 80))


@pytest.mark.parametrize(
    ("channels", "kernel", "expected"),
    [(3, 16, ("full", 3, 768)), (64, 7, ("full", 16, 784)), (3, 32, ("channel", 3, 3)), (1, 33, ("channel", 1, 1))],
)
def test_patches_of_too_many_features_are_cut_by_rule(channels, kernel, expected, caplog):
    with caplog.at_level("INFO", logger="netdeconv.nn"):
        layer = nnd.WhitenedConv2d(channels, 2, kernel, stride=kernel)
    grouping = layer.sampler.grouping
    assert (layer.whitening.structure, grouping.block_channels, layer.sampler.matrix_size) == expected
    said = f"WhitenedConv2d({channels}, 2, kernel_size=({kernel}, {kernel})"
    assert (said in caplog.text and "too many for a matrix" in caplog.text) == (expected[2] != 768)


@pytest.mark.parametrize("case", ["rank one", "constant channels", "few rows", "one large", "large and low rank"])
def test_thirty_steps_stay_bounded_on_degenerate_input(case):
    torch.manual_seed(1)
    layer = nnd.WhitenedLinear(48, 2, whitening=nnd.Whitening(num_iterations=30))
    x = torch.randn(200, 48)
    x = {
        "rank one": x[:, :1] @ torch.randn(1, 48),
        "constant channels": torch.cat([x[:, :20], torch.full((200, 28), 3.0)], 1),
        "few rows": x[:3],
        "one large": torch.cat([x[:, :1] * 1e6, x[:, 1:]], 1),
        "large and low rank": x[:, :5] @ torch.randn(5, 48) * 1e5,
    }[case].requires_grad_()
    y = layer(x)
    y.square().mean().backward()
    assert float(torch.linalg.matrix_norm(layer.statistics.running_whitening, 2)) < 2 / 1e-5**0.5
    assert float(y.detach().abs().max()) < 1e3
    assert x.grad.isfinite().all()


def test_standardized_features_of_any_scale_are_whitened_alike():
    """One feature a thousand times the others leaves these hardly whitened by five steps; standardized it does not."""
    scales = torch.tensor([1e3, 1.0, 1.0, 0.01], dtype=torch.float64)
    x = torch.randn(4000, 4, dtype=torch.float64) @ torch.randn(4, 4, dtype=torch.float64) * scales
    deviations = {}
    for standardize in (False, True):
        settings = nnd.Whitening(standardize=standardize, eps=1e-9, sampling_stride=1)
        layer = nnd.ChannelWhitening(4, whitening=settings, dtype=torch.float64)
        y = layer(x)
        deviations[standardize] = y.std(0)
        plain = nnd.WhitenedLinear(4, 4, bias=False, whitening=settings, dtype=torch.float64)
        torch.nn.init.eye_(plain.weight)
        assert_close(plain(x), y, size=16, condition=100)  # D is not symmetric: both apply it the same way round
    assert deviations[False][1:].max() < 0.05
    assert deviations[True].min() > 0.5
    covariance = torch.cov(y.T)
    assert_close(covariance, torch.eye(4, dtype=x.dtype), dtype=torch.bfloat16, size=64)
