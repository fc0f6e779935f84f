"""Bad settings and bad inputs: each refusal with its message."""

from __future__ import annotations

import pytest
import torch

import netdeconv.nn as nnd
from netdeconv.nn import Freeze, Whitening


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"structure": "patch"}, "structure must be one of"),
        ({"layout": "rows"}, "layout must be one of"),
        ({"group_size": 0}, "group_size must be a positive integer, got 0"),
        ({"group_size": 2.5}, "group_size must be a positive integer, got 2.5"),
        ({"num_iterations": 0}, "num_iterations"),
        ({"sampling_stride": True}, "sampling_stride"),
        ({"refresh_interval": 0}, "refresh_interval must be a positive integer, got 0"),
        ({"eps": 0.0}, "eps must be positive and finite, got 0.0"),
        ({"eps": float("nan")}, "eps must be positive"),
        ({"momentum": 0.0}, "momentum must be in"),
        ({"momentum": 1.5}, "momentum must be in"),
        ({"structure": "separable", "layout": "reference"}, "never published"),
    ],
)
def test_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        Whitening(**arguments)


@pytest.mark.parametrize(("active", "period"), [(0, 10), (10, 10), (11, 10)])
def test_freeze(active, period):
    with pytest.raises(ValueError, match="1 <= active < period"):
        Freeze(active=active, period=period)


def test_settings_cannot_be_changed_or_given_by_position():
    with pytest.raises(AttributeError):
        Whitening().eps = 1.0
    with pytest.raises(TypeError):
        Whitening("full")


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: nnd.WhitenedLinear(64, 2), (1, 64)),
        (lambda: nnd.WhitenedLinear(64, 2), (0, 64)),
        (lambda: nnd.WhitenedConv2d(4, 2, 3), (1, 4, 3, 3)),
        (lambda: nnd.WhitenedConv2d(4, 2, 3), (0, 4, 8, 8)),
        (lambda: nnd.WhitenedConvTranspose2d(4, 2, 3), (1, 4, 1, 1)),
        (lambda: nnd.ChannelWhitening(4), (1, 4)),
    ],
)
def test_fewer_than_two_rows_in_training(layer, shape):
    module = layer()
    with pytest.raises(ValueError, match="at least two"):
        module(torch.randn(shape))
    assert int(module.num_batches_tracked) == 0
    assert module.eval()(torch.randn(shape)).shape[0] == shape[0]


def test_a_small_map_is_sampled_at_every_position_instead():
    layer = nnd.WhitenedConv2d(4, 2, 1, whitening=Whitening(sampling_stride=3, momentum=1.0), dtype=torch.float64)
    x = torch.randn(1, 4, 2, 2, dtype=torch.float64)
    layer(x)
    assert torch.allclose(layer.running_mean[0], x.mean((0, 2, 3)), atol=1e-12)


def test_kernel_larger_than_input():
    with pytest.raises(ValueError, match="larger than"):
        nnd.WhitenedConv2d(4, 2, 5)(torch.randn(2, 4, 3, 3))


def test_wrong_numbers_of_features():
    with pytest.raises(ValueError, match=r"expected input \(\.\.\., 4\), got \(2, 3\)"):
        nnd.WhitenedLinear(4, 2)(torch.randn(2, 3))
    with pytest.raises(ValueError, match=r"expected input \(N, 4, \.\.\.\), got \(2, 3\)"):
        nnd.ChannelWhitening(4)(torch.randn(2, 3))


def test_assigning_folded_parameters_that_do_not_fit():
    layer = nnd.WhitenedLinear(4, 2, bias=False)
    with pytest.raises(ValueError, match="shape"):
        layer.assign_folded_(torch.ones(2, 3))
    with pytest.raises(ValueError, match="no bias"):
        layer.assign_folded_(torch.ones(2, 4), torch.ones(2))


def test_paper_settings():
    assert Whitening.paper() == Whitening(
        structure="full", group_size=64, num_iterations=5, eps=1e-5, sampling_stride=3, layout="interleaved"
    )
    stem = Whitening.paper_stem()
    assert (stem.num_iterations, stem.freeze) == (15, Freeze(active=100, period=1000))


def test_repr_says_what_is_whitened():
    text = repr(nnd.WhitenedConv2d(96, 8, 3, whitening=Whitening(group_size=64)))
    assert "96, 8, kernel_size=(3, 3)" in text
    assert "structure='full', group_size=48, num_groups=2, num_iterations=5" in text
