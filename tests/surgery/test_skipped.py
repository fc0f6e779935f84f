"""Layers that are no plain layers of torch: which are converted as such, which are left, and what is said of them."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

import netdeconv as nd
from netdeconv.surgery import NothingChangedWarning, PartlyConvertedWarning, plain, register_layer
from surgery.mixed import Net, whitened
from tolerances import FOLDED_FLOAT32, assert_within


class OwnConv(nn.Conv2d):
    """A user's subclass that starts elsewhere."""

    def reset_parameters(self):
        nn.init.normal_(self.weight, std=0.1)
        if self.bias is not None:
            nn.init.ones_(self.bias)


class OwnLinear(nn.Linear):
    """Other defaults."""


class OwnTransposed(nn.ConvTranspose2d):
    """Other defaults."""


class PaddedConv(nn.Conv2d):
    """Pads by the size of its input, as TensorFlow does."""

    def forward(self, input):
        return super().forward(nn.functional.pad(input, (0, input.shape[-1] % 2)))


class NormWithActivation(nn.BatchNorm2d):
    """As timm has them."""

    def forward(self, input):
        return super().forward(input).relu()


def test_what_is_left_is_counted_in_the_warning_and_logged(caplog):
    model = nn.Sequential(
        *(nn.Conv2d(3, 6, 3), NormWithActivation(6), PaddedConv(6, 4, 1), PaddedConv(4, 4, 1)),
        *(nn.BatchNorm2d(4), nn.Linear(4, 4)),
    )
    with (
        caplog.at_level(logging.INFO, logger="netdeconv.surgery"),
        pytest.warns(
            PartlyConvertedWarning, match="as they are: 2 x .*PaddedConv has a forward of its own; 1 x"
        ) as said,
    ):
        converted = nd.convert(model, nd.Whitening(group_size=4), linear=False)
    assert [type(layer) for layer in converted] == [
        *(nd.WhitenedConv2d, NormWithActivation, PaddedConv, PaddedConv),
        *(nn.BatchNorm2d, nn.Linear),
    ]
    assert len(said) == 1
    assert "NormWithActivation is a norm that may do more than normalise. Layers: build" in str(said[0].message)
    assert "linear" not in str(said[0].message)  # that was asked for
    assert "0: Conv2d -> WhitenedConv2d: full, 1 x 27x27, 1 group(s) of 3 channels (asked: 4)" in caplog.messages
    skipped = [message for message in caplog.messages if "skipped" in message]
    assert [message.split(":")[0] for message in skipped] == ["2", "3", "5", "1", "4"]
    assert skipped[2] == "5: skipped, linear layers are to be left as they are"


def test_what_was_excluded_is_not_warned_of():
    model = nn.Sequential(nn.Conv2d(3, 6, 3), PaddedConv(6, 4, 1), nn.Linear(4, 4))
    assert whitened(nd.convert(model, select="!1")) == ["0", "2"]
    assert whitened(nd.convert(model, named={"1": False})) == ["0", "2"]
    assert whitened(nd.convert(model, False, linear=nd.Whitening())) == ["2"]


def test_where_nothing_is_converted_the_reasons_are_in_that_warning():
    with pytest.warns(NothingChangedWarning, match=r"that is not yet: 1 x .*PaddedConv has a forward of its own$"):
        nd.convert(nn.Sequential(PaddedConv(3, 4, 1)))
    with pytest.warns(NothingChangedWarning, match=r"not yet: 1 x linear layers are to be left as they are$"):
        nd.convert(nn.Sequential(nn.Linear(3, 4)), linear=False)


@pytest.mark.parametrize(
    ("layer", "base"),
    [
        (OwnConv(4, 6, 3, stride=2, bias=False), nn.Conv2d),
        (OwnConv(4, 6, 3, 1, 2, 2, 2, padding_mode="circular"), nn.Conv2d),
        (OwnLinear(4, 6), nn.Linear),
        (OwnTransposed(4, 6, 3, stride=2, output_padding=1), nn.ConvTranspose2d),
    ],
    ids=str,
)
def test_a_subclass_that_computes_the_same_is_converted_as_its_base(layer, base):
    x = torch.randn(5, 4, 9, 9) if layer.weight.dim() > 2 else torch.randn(5, 4)
    converted = nd.convert(nn.Sequential(layer), nd.Whitening(group_size=2), calibration=[x])
    assert type(converted[0]).__name__ == f"Whitened{base.__name__}"
    folded = nd.fold(converted)
    assert type(folded[0]) is base
    assert_within(folded(x), layer(x), FOLDED_FLOAT32)


class WithProperty(nn.Linear):
    """Its weight is computed whenever it is read."""

    def __init__(self, size: int) -> None:
        super().__init__(size, size)
        self.raw = self.weight
        del self._parameters["weight"]

    @property
    def weight(self):
        return self.raw / self.raw.norm()

    @weight.setter
    def weight(self, value):
        self._parameters["weight"] = value


class OwnConvolve(nn.Conv2d):
    """Pads in the method that forward calls."""

    def _conv_forward(self, input, weight, bias):
        return super()._conv_forward(nn.functional.pad(input, (1, 1)), weight, bias)


def patched() -> nn.Module:
    layer = nn.Linear(4, 4)
    layer.forward = lambda x: nn.functional.linear(x, layer.weight * 2)
    return layer


def parametrized() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))


def hooked() -> nn.Module:
    layer = nn.Linear(4, 4)
    raw = nn.Parameter(layer.weight.detach().clone())
    layer.register_parameter("weight_raw", raw)
    del layer.weight
    layer.weight = (raw * 2).detach()
    return layer


def integral() -> nn.Module:
    layer = nn.Linear(4, 4)
    layer.weight = nn.Parameter(torch.ones(4, 4, dtype=torch.int8), requires_grad=False)
    return layer


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (WithProperty(4), "WithProperty computes its weight"),
        (OwnConvolve(4, 4, 1), "OwnConvolve has a _conv_forward of its own"),
        (patched(), "torch.nn.modules.linear.Linear has a forward of its own"),
        (parametrized(), "ParametrizedLinear computes its weight"),
        (hooked(), "its weight is no parameter"),
        (integral(), "its weight is torch.int8"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_layers_that_compute_something_else_are_left_with_their_reason(layer, reason):
    model = nn.ModuleDict({"a": layer, "b": nn.Linear(4, 4)})
    with pytest.warns(PartlyConvertedWarning, match=f"1 x .*{reason}"):
        assert whitened(nd.convert(model, inplace=True)) == ["b"]


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_a_scripted_part_is_left_with_its_reason():
    model = nn.Sequential(torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))), nn.Linear(4, 4))
    with pytest.warns(PartlyConvertedWarning, match="as they are: 1 x it is scripted"):
        assert whitened(nd.convert(model)) == ["1"]


def test_layers_whose_weight_is_read_from_outside_are_skipped():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.ModuleDict({"a": nn.MultiheadAttention(8, 2), "b": layer, "c": nn.Linear(8, 8)})
    assert whitened(nd.convert(model)) == ["c"]


def test_sync_batch_norm_goes_like_batch_norm():
    model = nn.SyncBatchNorm.convert_sync_batchnorm(Net())
    assert type(model.bn1) is nn.SyncBatchNorm
    converted = nd.convert(model)
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in converted.modules())


def same_padding(layer, input):
    return nn.functional.pad(input, (0, input.shape[-1] % 2))


@pytest.fixture
def _registered(monkeypatch):
    monkeypatch.setattr(plain, "_REGISTERED", {**plain._REGISTERED})
    register_layer(PaddedConv, same_padding)


@pytest.mark.usefixtures("_registered")
def test_a_registered_layer_keeps_its_padding():
    model = nn.Sequential(PaddedConv(3, 4, 3, stride=2), nn.ReLU(), PaddedConv(4, 2, 2)).eval()
    data = [torch.randn(4, 3, 9, 9) for _ in range(2)]
    converted = nd.convert(model, nd.Whitening(group_size=2), calibration=data)
    assert whitened(converted) == ["0", "2"]
    with torch.no_grad():
        assert converted(data[0]).shape == model(data[0]).shape
        assert_within(converted(data[0]), model(data[0]), FOLDED_FLOAT32)
        assert_within(nd.fold(converted)(data[0]), model(data[0]), FOLDED_FLOAT32)


def test_timms_layers_are_known():
    layers = pytest.importorskip("timm.layers")
    model = nn.Sequential(layers.Conv2dSame(3, 4, 3, stride=2), nn.Flatten(), layers.Linear(4 * 5 * 4, 2)).eval()
    data = [torch.randn(4, 3, 9, 8) for _ in range(2)]
    converted = nd.convert(model, nd.Whitening(group_size=2), calibration=data)
    assert whitened(converted) == ["0", "2"]
    with torch.no_grad():
        assert_within(converted(data[0]), model(data[0]), FOLDED_FLOAT32)


def test_a_norm_behind_a_layer_that_stays_plain_stays():
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(6), nn.Linear(6, 2)]
    model = nn.Sequential(nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, groups=6), nn.BatchNorm2d(6), *head)
    kept = nd.convert(model, depthwise=False)
    assert [type(kept[i]) for i in (1, 3, 6)] == [nn.Identity, nn.BatchNorm2d, nn.BatchNorm1d]
    concatenated = nn.Sequential(nn.Conv2d(3, 6, 1), nn.BatchNorm2d(12), nn.Conv2d(12, 6, 1))
    assert type(nd.convert(concatenated, named={"0": False})[1]) is nn.Identity  # the layer after it decides
