"""nn.initialize: variances, the smaller last layer, and what it leaves alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import netdeconv as nd
from netdeconv.nn.init import initialize


def spread(layer: nn.Module) -> float:
    return float(layer.weight.detach().std())


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (nd.WhitenedConv2d(64, 128, 3, groups=2), 32 * 9),
        (nd.WhitenedConv1d(128, 256, 3), 128 * 3),
        (nd.WhitenedLinear(256, 256), 256),
        (nd.WhitenedConvTranspose2d(128, 64, 4, stride=2), 128 * 4),
    ],
    ids=["grouped", "1d", "linear", "transposed"],
)
def test_variance_is_one_over_fan_in(layer, fan_in):
    model = initialize(nn.Sequential(layer, nn.Linear(2, 2)))
    # the standard error of a standard deviation of n values is 1 / sqrt(2 n); five of them
    error = 5 / math.sqrt(2 * layer.weight.numel())
    assert spread(layer) * math.sqrt(fan_in) == pytest.approx(1, abs=error)
    assert torch.equal(model[0].bias, torch.zeros_like(layer.bias))


@pytest.mark.parametrize("head", [nn.Linear(512, 512), nd.WhitenedLinear(512, 512), nn.Conv2d(512, 512, 1)])
def test_the_last_layer_is_ten_times_smaller_whitened_or_not(head):
    initialize(nn.Sequential(nd.WhitenedLinear(4, 4), head))
    assert spread(head) * math.sqrt(512) == pytest.approx(0.1, rel=0.01)
    assert not head.bias.any()


def test_signals_keep_their_size_through_depth():
    torch.manual_seed(0)
    pairs = [(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()) for _ in range(20)]
    plain = nn.Sequential(*(layer for pair in pairs for layer in pair), nn.Conv2d(16, 16, 1))
    model = initialize(nd.convert(plain, nd.Whitening(sampling_stride=1)))
    x = torch.randn(16, 16, 12, 12)
    with torch.no_grad():
        for layer in model[:-1]:
            x = layer(x)
            if isinstance(layer, nd.WhitenedConv2d):
                # five steps whiten partially, so some variance is lost, and none is added
                assert 0.5 < float(x.std()) < 1.1


def test_everything_else_stays():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nd.WhitenedConv2d(3, 3, 1, bias=False))
    before = model[0].weight.detach().clone()
    assert initialize(model) is model
    assert torch.equal(model[0].weight, before)
    assert initialize(nn.ReLU()) is not None


def test_a_generator_is_the_only_source_of_randomness():
    state = torch.get_rng_state()
    layers = [nd.convert(nn.Linear(3, 3, device="meta").to_empty(device="cpu")) for _ in range(2)]
    for layer in layers:
        initialize(layer, generator=torch.Generator().manual_seed(1))
    assert torch.equal(layers[0].weight, layers[1].weight)
    assert torch.equal(torch.get_rng_state(), state)
