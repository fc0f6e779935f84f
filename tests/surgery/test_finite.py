"""check_finite: the first layer that sees a NaN is named, and its statistics are not touched."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netdeconv as nd
from netdeconv.surgery import check_finite


def test_the_layer_and_the_counts_are_named():
    model = nn.Sequential(nd.WhitenedLinear(4, 4), nn.Sequential(nn.ReLU(), nd.WhitenedLinear(4, 2)))
    x = torch.randn(8, 4)
    with check_finite(model) as same:
        assert same is model
        model(x)
        bad = x.clone()
        bad[0, :3] = torch.nan
        bad[1, 0] = -torch.inf
        before = model[0].statistics.running_mean.clone()
        with pytest.raises(
            FloatingPointError, match=r"layer '0' has 3 NaN and 1 infinite of 32 values, shape \(8, 4\)"
        ):
            model(bad)
        assert torch.equal(model[0].statistics.running_mean, before)
        model[0].weight.data.fill_(torch.inf)
        with pytest.raises(FloatingPointError, match=r"layer '1\.0' has"):
            model(x)


def test_afterwards_nothing_is_checked():
    layer = nd.WhitenedLinear(4, 2)
    with pytest.raises(RuntimeError, match="mine"), check_finite(layer):
        raise RuntimeError("mine")
    assert not layer._forward_pre_hooks
    layer.eval()(torch.full((8, 4), torch.nan))


def test_keyword_inputs_and_a_bare_layer():
    layer = nd.WhitenedLinear(4, 2)
    with (
        check_finite(layer),
        pytest.raises(FloatingPointError, match="layer 'the model' has 0 NaN and 4 infinite"),
    ):
        layer(input=torch.full((1, 4), torch.inf))
