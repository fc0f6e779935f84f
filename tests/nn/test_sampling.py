"""Fewer entries of a batch in the sample, where enough rows remain."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from netdeconv.nn.functional import image_step

import netdeconv.nn as nnd
from layers import SETTINGS, setting_id
from netdeconv.linalg import Grouping, PatchGeometry
from tolerances import assert_close

PIXELS = PatchGeometry((1, 1), (2, 2), ((0, 0), (0, 0)), (1, 1))


@pytest.mark.parametrize(
    ("batch", "enough", "expected"),
    [
        (128, None, 1),
        (128, 16, 4),  # 128 * 9 * 2 rows for 4 features: 36 steps, but 32 entries must remain
        (128, 288, 2),  # 2304 rows, of which 1152 are enough
        (128, 289, 1),
        (64, 1, 2),
        (63, 1, 1),
    ],
)
def test_every_nth_entry_where_enough_remain(batch, enough, expected):
    shape = torch.Size((batch, 8, 6, 6))
    assert image_step(shape, PIXELS, Grouping(1, 2, 4), enough) == expected


@pytest.mark.parametrize("refresh_interval", [1, 2])
@pytest.mark.parametrize("settings", SETTINGS, ids=setting_id)
def test_a_sample_is_as_good_as_its_entries_alone(settings, refresh_interval):
    """Statistics are those of every third entry; the gradient through them reaches these alone."""
    settings = dataclasses.replace(settings, rows_per_feature=1, refresh_interval=refresh_interval)
    layer = nnd.WhitenedConv2d(4, 3, 3, dtype=torch.float64, whitening=settings)
    other = nnd.WhitenedConv2d(
        4, 3, 3, dtype=torch.float64, whitening=dataclasses.replace(settings, rows_per_feature=None)
    )
    other.load_state_dict(layer.state_dict())
    for _ in range(refresh_interval):
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


def test_the_published_layout_samples_all():
    with pytest.raises(ValueError, match="rows_per_feature must be None"):
        nnd.Whitening(layout="reference", rows_per_feature=8)
