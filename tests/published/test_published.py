"""Published layers as drop-ins: names of their state, schedule, left-over channels, and the way to the library."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import netdeconv as nd
from netdeconv.published import ChannelDeconv, Delinear, FastDeconv, to_library


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        FastDeconv(3, 8, 3, padding=1, n_iter=15, freeze=True),
        nn.ReLU(),
        FastDeconv(8, 12, 3, stride=2, groups=2, bias=False, block=4, eps=1e-3),
        nn.ReLU(),
        FastDeconv(12, 8, 1, block=4),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        Delinear(32, 5, block=16),
    ).double()


def test_state_has_the_published_names():
    assert list(FastDeconv(8, 4, 3).state_dict()) == ["weight", "bias", "running_mean", "running_deconv"]
    assert list(Delinear(8, 4).state_dict()) == ["weight", "bias", "running_mean", "running_deconv"]
    names = ["running_mean1", "running_deconv", "running_mean2", "running_var", "num_batches_tracked"]
    assert list(ChannelDeconv(4).state_dict()) == names


def test_a_checkpoint_comes_back_also_under_the_names_of_its_successor():
    model = network()
    model(torch.randn(4, 3, 9, 9, dtype=torch.float64))
    saved = model.state_dict()
    for old in ("running_deconv", "running_cov_isqrt"):
        other = network()
        other.load_state_dict({name.replace("running_deconv", old): value for name, value in saved.items()})
        assert all(torch.equal(value, saved[name]) for name, value in other.state_dict().items())
    with pytest.raises(RuntimeError, match="Missing key"):
        network().load_state_dict({})


def test_frozen_steps_use_the_running_statistics():
    layer = FastDeconv(3, 4, 3, freeze=True, freeze_iter=2).double()
    moved = []
    for _ in range(24):
        before = layer.running_deconv.clone()
        x = torch.randn(4, 3, 9, 9, dtype=torch.float64)
        expected = copy.deepcopy(layer).eval()(x)
        y = layer(x)
        moved.append(not torch.equal(before, layer.running_deconv))
        assert moved[-1] or torch.equal(y, expected)
    assert [step for step, value in enumerate(moved) if value] == [0, 1, 20, 21]


def test_left_over_channels_are_sampled_like_the_others():
    layer = ChannelDeconv(4, sampling_stride=2).double()
    x = torch.randn(3, 6, 8, 8, dtype=torch.float64)
    layer(x)
    sample = x[:, 4:].transpose(0, 1).flatten()[::4]
    assert torch.allclose(layer.running_mean2, sample.mean().view(1, 1))
    assert torch.allclose(layer.running_var, sample.var().view(1, 1))
    with pytest.raises(ValueError, match="3 channels, fewer than a block of 4"):
        layer(x[:, :3])


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
    converted(torch.randn(4, 3, 9, 9, dtype=torch.float64)).sum().backward()


def test_calibration_keeps_the_function():
    model = network()
    for _ in range(3):
        model(torch.randn(8, 3, 9, 9, dtype=torch.float64))
    batches = [torch.randn(16, 3, 9, 9, dtype=torch.float64) for _ in range(3)]
    converted = to_library(model.eval(), calibration=batches)
    x = torch.randn(4, 3, 9, 9, dtype=torch.float64)
    assert torch.allclose(converted(x), model(x), rtol=1e-9, atol=1e-9)
    assert isinstance(converted[4], nd.WhitenedConv2d)


def test_a_model_without_published_layers_is_refused():
    with pytest.raises(ValueError, match="no published layer"):
        to_library(nn.Linear(2, 2))
