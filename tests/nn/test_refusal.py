"""Bad settings and bad inputs: each refusal with its message."""

from __future__ import annotations

import pytest
import torch

import netdeconv.nn as nnd
from layers import build
from netdeconv.nn import Freeze, Whitening


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"structure": "patch"}, "structure must be one of"),
        ({"group_size": 0}, "group_size must be a positive integer, got 0"),
        ({"group_size": 2.5}, "group_size must be a positive integer, got 2.5"),
        ({"num_iterations": 0}, "num_iterations"),
        ({"sampling_stride": True}, "sampling_stride"),
        ({"structure": "separable"}, "structure must be one of"),
        ({"rows_per_feature": 0}, "rows_per_feature must be a positive integer, got 0"),
        ({"eps": True}, "eps must be positive and finite, got True"),
        ({"momentum": True}, "momentum must be in"),
        ({"eps": 0.0}, "eps must be positive and finite, got 0.0"),
        ({"eps": float("nan")}, "eps must be positive"),
        ({"momentum": 0.0}, "momentum must be in"),
        ({"momentum": 1.5}, "momentum must be in"),
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
def test_fewer_than_two_rows_in_training_are_whitened_as_in_evaluation(layer, shape):
    module, x = layer(), torch.randn(shape, requires_grad=True)
    module.statistics.running_mean.fill_(0.5)
    y = module(x)
    y.sum().backward()
    assert int(module.statistics.num_batches_tracked) == 0
    assert torch.equal(y, module.eval()(x))
    with pytest.raises(ValueError, match="at least two"), nnd.statistics_mode(module.train(), "batch"):
        module(x)


def test_a_small_map_is_sampled_at_every_position_instead():
    layer = nnd.WhitenedConv2d(4, 2, 1, whitening=Whitening(sampling_stride=3, momentum=1.0), dtype=torch.float64)
    x = torch.randn(1, 4, 2, 2, dtype=torch.float64)
    layer(x)
    assert torch.allclose(layer.statistics.running_mean[0], x.mean((0, 2, 3)), atol=1e-12)


def test_kernel_larger_than_input():
    with pytest.raises(ValueError, match="larger than"):
        nnd.WhitenedConv2d(4, 2, 5)(torch.randn(2, 4, 3, 3))


def test_wrong_numbers_of_features():
    with pytest.raises(ValueError, match=r"expects input \(\.\.\., 4\), got \(2, 3\)"):
        nnd.WhitenedLinear(4, 2)(torch.randn(2, 3))
    with pytest.raises(ValueError, match=r"expects input \(\.\.\., 4\), got \(\)"):
        nnd.WhitenedLinear(4, 2)(torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"expected input \(N, 4, \.\.\.\), got \(2, 3\)"):
        nnd.ChannelWhitening(4)(torch.randn(2, 3))


def test_assigning_folded_parameters_that_do_not_fit():
    layer = nnd.WhitenedLinear(4, 2, bias=False)
    with pytest.raises(ValueError, match="shape"):
        layer.assign_folded_(torch.ones(2, 3))
    with pytest.raises(ValueError, match="no bias"):
        layer.assign_folded_(torch.ones(2, 4), torch.ones(2))


def test_repr_says_what_is_whitened():
    text = repr(nnd.WhitenedConv2d(96, 8, 3, whitening=Whitening(group_size=64)))
    assert "96, 8, kernel_size=(3, 3)" in text
    assert "structure='full', group_size=48, num_groups=2, num_iterations=5" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"freeze": 5}, "freeze must be a Freeze"),
        ({"root": 5}, "root must"),
        ({"standardize": 1}, "standardize must be True or False"),
    ],
)
def test_settings_of_another_type(arguments, message):
    with pytest.raises(TypeError, match=message):
        Whitening(**arguments)


@pytest.mark.parametrize("active", [True, 1.0, "1"])
def test_a_schedule_counts_steps(active):
    with pytest.raises(ValueError, match="1 <= active < period"):
        Freeze(active=active, period=10)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64])
@pytest.mark.parametrize("kind", ["conv2d", "linear", "transposed", "channel map"])
def test_input_that_is_not_of_real_numbers(kind, dtype):
    layer, x = build(kind, dtype=torch.float32)
    with pytest.raises(TypeError, match="floating-point input"):
        layer(torch.ones_like(x, dtype=dtype))


@pytest.mark.parametrize("shape", [(4, 7), (2, 2, 4, 7, 6), (3, 5, 7, 6)])
@pytest.mark.parametrize("kind", ["conv2d", "transposed"])
def test_input_of_another_shape(kind, shape):
    layer, _ = build(kind, dtype=torch.float32)
    with pytest.raises(ValueError, match=r"expects input \(N, 4, H, W\), got"):
        layer(torch.ones(shape))


@pytest.mark.parametrize(
    "layer", [lambda w: nnd.WhitenedLinear(3, 2, whitening=w), lambda w: nnd.ChannelWhitening(3, whitening=w)]
)
def test_settings_must_be_settings(layer):
    with pytest.raises(TypeError, match="whitening must be a Whitening or None"):
        layer("paper")


@pytest.mark.parametrize("count", [0, True, 2.5])
def test_channels_are_counted(count):
    with pytest.raises(ValueError, match="num_features must be a positive integer"):
        nnd.ChannelWhitening(count)


def test_an_unknown_mode():
    with pytest.raises(ValueError, match="mode must be one of"), nnd.statistics_mode(nnd.WhitenedLinear(3, 2), "bacth"):
        pass
