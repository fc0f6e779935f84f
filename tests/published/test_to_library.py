"""From published layers to the library's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netdeconv as nd
from netdeconv.published import ChannelDeconv, Delinear, FastDeconv, to_library
from published_network import drawn, network
from tolerances import assert_within


def test_the_library_keeps_weights_and_settings():
    model = network()
    converted = to_library(model)
    kinds = [type(layer).__name__ for layer in converted]
    assert [kinds[i] for i in (0, 2, 4, 7)] == ["WhitenedConv2d"] * 3 + ["WhitenedLinear"]
    assert torch.equal(converted[4].weight, model[4].weight)
    assert (converted[0].whitening.num_iterations, converted[0].whitening.freeze) == (15, nd.Freeze())
    assert (converted[2].whitening.eps, converted[2].groups, converted[2].stride) == (1e-3, 2, (2, 2))
    assert converted[7].whitening.group_size == 16
    assert type(model[0]) is FastDeconv
    assert [(converted[i].whitening.sampling_stride, converted[i].whitening.momentum) for i in (0, 2)] == [
        (3, 0.1),
        (2, 0.2),
    ]
    assert isinstance(converted[2].bias, torch.Tensor) is False
    assert int(converted[0].statistics.num_batches_tracked) == 0
    converted(drawn(4, 3, 9, 9)).sum().backward()
    assert converted[4].weight.grad is not None


def test_calibration_keeps_the_function():
    model = network()
    model[4].requires_grad_(False)
    for _ in range(3):
        model(drawn(8, 3, 9, 9))
    batches = [drawn(16, 3, 9, 9) for _ in range(3)]
    converted = to_library(model.eval(), calibration=batches)
    assert [layer.weight.requires_grad for layer in (converted[0], converted[4])] == [True, False]
    x = drawn(4, 3, 9, 9)
    assert_within(converted(x), model(x), 1e-9)
    assert isinstance(converted[4], nd.WhitenedConv2d)
    assert type(model[0]) is FastDeconv


def test_a_single_layer_and_a_channel_layer():
    layer = Delinear(8, 4, block=4).double()
    layer(drawn(16, 8))
    converted = to_library(layer.eval(), calibration=[drawn(64, 8)])
    assert type(converted) is nd.WhitenedLinear
    x = drawn(4, 8)
    assert_within(converted(x), layer(x), 1e-9)
    channels = to_library(nn.Sequential(ChannelDeconv(2), FastDeconv(4, 4, 3)))
    assert [type(part).__name__ for part in channels] == ["ChannelDeconv", "WhitenedConv2d"]


def test_a_model_without_published_layers_is_refused():
    for model in (nn.Linear(2, 2), nn.Sequential(ChannelDeconv(2))):
        with pytest.raises(ValueError, match="no published layer"):
            to_library(model)
