"""Which rows are sampled: every position of small maps, and fewer entries of a batch where enough rows remain."""

from __future__ import annotations

import dataclasses

import pytest
import torch

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
        (128, 16, 4),  # 128 * 16 * 2 rows for 4 features: 64 steps, but 32 entries must remain
        (128, 512, 2),  # 4096 rows, of which 2048 are enough
        (128, 513, 1),
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
    assert sampler.plan(torch.Size((16, 4, 2, 2)))[1] == 2  # 8 entries remain


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
