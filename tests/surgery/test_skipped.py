"""Layers that are no plain layers of torch: which are skipped, and what the log says."""

from __future__ import annotations

import logging

from torch import nn

import netdeconv as nd
from surgery.mixed import Net, whitened


class OwnConv(nn.Conv2d):
    """A user's subclass."""


class NormWithActivation(nn.BatchNorm2d):
    """As timm has them."""

    def forward(self, input):
        return super().forward(input).relu()


def test_subclasses_are_skipped_and_the_log_says_why(caplog):
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), NormWithActivation(6), OwnConv(6, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 4)
    )
    with caplog.at_level(logging.INFO, logger="netdeconv.surgery"):
        converted = nd.convert(model, nd.Whitening(group_size=4), linear=False)
    assert [type(layer) for layer in converted] == [
        nd.WhitenedConv2d,
        NormWithActivation,
        OwnConv,
        nn.BatchNorm2d,
        nn.Linear,
    ]
    assert "0: Conv2d -> WhitenedConv2d: full, 1 x 27x27, 1 group(s) of 3 channels (asked: 4)" in caplog.messages
    skipped = [message for message in caplog.messages if "skipped" in message]
    assert len(skipped) == 3
    assert "1: skipped" in skipped[2]
    assert "NormWithActivation is a subclass" in skipped[2]
    assert "OwnConv is a subclass" in skipped[0]
    assert skipped[1] == "4: skipped, linear layers are to be left as they are"


def test_layers_whose_weight_is_read_from_outside_are_skipped():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.ModuleDict({"a": nn.MultiheadAttention(8, 2), "b": layer, "c": nn.Linear(8, 8)})
    assert whitened(nd.convert(model)) == ["c"]


def test_weights_that_are_no_parameters_are_skipped():
    parametrized = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    hooked = nn.Linear(4, 4)
    hooked.register_parameter("weight_raw", nn.Parameter(hooked.weight.detach().clone()))
    del hooked.weight
    hooked.weight = hooked.weight_raw * 2
    hooked.weight = hooked.weight.detach()
    model = nn.ModuleDict({"a": parametrized, "b": hooked, "c": nn.Linear(4, 4), "d": nn.LazyLinear(3)})
    assert whitened(nd.convert(model)) == ["c"]


def test_sync_batch_norm_goes_like_batch_norm():
    model = nn.SyncBatchNorm.convert_sync_batchnorm(Net())
    assert type(model.bn1) is nn.SyncBatchNorm
    converted = nd.convert(model)
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in converted.modules())
