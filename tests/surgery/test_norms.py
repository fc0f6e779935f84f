"""Norms that do more than normalise, or less: what conversion keeps of them, and how others are registered."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

import netdeconv as nd
from netdeconv.surgery import ChannelAffine, NormParts, PartlyConvertedWarning, norms, register_norm
from surgery.networks import batches, lived_in
from tolerances import FOLDED_FLOAT32, assert_within

SMALL = nd.Whitening(group_size=4)


class NormAct(nn.BatchNorm2d):
    """Batch norm, drop and activation, as timm has them."""

    def __init__(self, channels: int, drop: float = 0.0) -> None:
        super().__init__(channels)
        self.drop = nn.Dropout(drop) if drop else nn.Identity()
        self.act = nn.SiLU(inplace=True)

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


class OwnNorm(nn.BatchNorm2d):
    """Other defaults."""


class Frozen(nn.Module):
    """Batch norm whose statistics and parameters are buffers, as torchvision has it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.eps = 1e-5
        for name, value in {"weight": 1.5, "bias": 0.2, "running_mean": 0.3, "running_var": 2.0}.items():
            self.register_buffer(name, torch.full((channels,), value))

    def forward(self, x):
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return x * scale.view(-1, 1, 1) + (self.bias - self.running_mean * scale).view(-1, 1, 1)


@pytest.fixture(autouse=True)
def _registry(monkeypatch):
    """What a test registers is gone after it; the stand-ins are known as the classes they stand for."""
    known = dict(norms._REGISTERED)
    known[f"{__name__}.NormAct"] = known["timm.layers.norm_act.BatchNormAct2d"]
    known[f"{__name__}.Frozen"] = known["torchvision.ops.misc.FrozenBatchNorm2d"]
    monkeypatch.setattr(norms, "_REGISTERED", known)


def network(norm: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), norm, nn.Conv2d(4, 2, 1))


def test_norm_and_activation_leave_the_activation():
    model = nd.convert(network(NormAct(4)), SMALL)
    assert [type(module) for module in model] == [nd.WhitenedConv2d, nn.SiLU, nd.WhitenedConv2d]
    assert model[1].inplace  # right behind a layer
    assert torch.equal(model[0].bias, torch.zeros(4))
    with_drop = nd.convert(network(NormAct(4, drop=0.5)), SMALL)
    assert [type(module) for module in with_drop[1]] == [nn.Dropout, nn.SiLU]
    assert not with_drop[1][1].inplace


@pytest.mark.parametrize("drop", [0.0, 0.5])
def test_calibration_absorbs_the_norm_before_its_activation(drop):
    model = lived_in(network(NormAct(4, drop)))
    converted = nd.convert(model, SMALL, calibration=batches())
    assert not [module for module in converted.modules() if isinstance(module, (nn.BatchNorm2d, ChannelAffine))]
    x = batches(1)[0]
    with torch.no_grad():
        assert_within(converted(x), model(x), FOLDED_FLOAT32)


class TwoReaders(nn.Module):
    """The norm's input is read once more: no layer can absorb it."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm, self.last = nn.Conv2d(3, 4, 3), norm, nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.conv(x)
        return x + self.last(self.norm(x))


def test_what_no_layer_absorbs_is_scale_and_shift_and_then_the_activation():
    model = lived_in(TwoReaders(NormAct(4)))
    converted = nd.convert(model, SMALL, calibration=batches())
    assert [type(module) for module in converted.norm] == [ChannelAffine, nn.SiLU]
    x = batches(1)[0]
    with torch.no_grad():
        assert_within(converted(x), model(x), FOLDED_FLOAT32)


def test_an_activation_does_not_overwrite_what_the_norm_used_to_copy():
    model = nd.convert(TwoReaders(NormAct(4)), SMALL).eval()
    assert type(model.norm) is nn.SiLU
    x = torch.randn(2, 3, 5, 5)
    with torch.no_grad():
        inner = model.conv(x)
        assert torch.equal(model(x), inner + model.last(nn.functional.silu(inner)))


def test_a_subclass_that_inherits_forward_goes_like_its_base():
    assert type(nd.convert(network(OwnNorm(4)), SMALL)[1]) is nn.Identity


def test_fixed_statistics_stay_without_calibration_and_are_absorbed_with_it(caplog):
    model = network(Frozen(4))
    with caplog.at_level(logging.INFO, logger="netdeconv.surgery"):
        converted = nd.convert(model, SMALL)
    assert "1: skipped, its statistics are fixed: only calibration can absorb it" in caplog.messages
    assert type(converted[1]) is Frozen
    assert converted[0].bias is None  # nothing was removed
    calibrated = nd.convert(model, SMALL, calibration=batches())
    assert type(calibrated[1]) is nn.Identity
    x = batches(1)[0]
    with torch.no_grad():
        assert_within(calibrated.eval()(x), model(x), FOLDED_FLOAT32)
    between = nd.convert(TwoReaders(Frozen(4)), SMALL, calibration=batches())
    assert type(between.norm) is ChannelAffine
    assert not between.norm.weight.requires_grad


class Wrapped(nn.Module):
    """A norm of a library that nobody knows: batch norm inside, a ReLU after it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.BatchNorm2d(channels)
        self.alpha = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return torch.relu(self.inner(x))


def parts(norm: Wrapped) -> NormParts:
    return NormParts(norm.inner, after=nn.ReLU())


@pytest.mark.parametrize("kind", [Wrapped, f"{__name__}.Wrapped"])
def test_further_norms_can_be_registered_by_class_or_name(kind):
    assert type(nd.convert(network(Wrapped(4)), SMALL)[1]) is Wrapped
    register_norm(kind, parts)
    assert type(nd.convert(network(Wrapped(4)), SMALL)[1]) is nn.ReLU
    model = lived_in(network(Wrapped(4)))
    converted = nd.convert(model, SMALL, calibration=batches())
    assert type(converted[1]) is nn.ReLU
    x = batches(1)[0]
    with torch.no_grad():
        assert_within(converted(x), model(x), FOLDED_FLOAT32)


def test_a_norm_that_is_not_affine_goes_without_calibration_alone():
    register_norm(NormAct, lambda norm: NormParts(None, after=norm.act))
    assert type(nd.convert(network(NormAct(4)), SMALL)[1]) is nn.SiLU
    model = lived_in(network(NormAct(4)))
    assert type(nd.convert(model, SMALL, calibration=batches())[1]) is NormAct


def test_a_subclass_of_a_registered_norm_is_not_known():
    class Further(NormAct):
        def forward(self, x):
            return super().forward(x) + 1

    with pytest.warns(PartlyConvertedWarning, match="Further is a norm that may do more than normalise"):
        assert type(nd.convert(network(Further(4)), SMALL)[1]) is Further


def test_torchvisions_frozen_norm_is_known():
    misc = pytest.importorskip("torchvision.ops.misc")
    model = nn.Sequential(nn.Conv2d(3, 4, 3), misc.FrozenBatchNorm2d(4))
    model[1].running_mean.fill_(0.5)
    assert type(nd.convert(model, SMALL)[1]) is misc.FrozenBatchNorm2d
    assert type(nd.convert(model, SMALL, calibration=batches())[1]) is nn.Identity


def test_networks_of_timm_lose_their_norms_and_keep_their_function():
    timm = pytest.importorskip("timm")
    model = lived_in_images(timm.create_model("regnetx_002", num_classes=5))
    data = [torch.randn(2, 3, 32, 32)]
    converted = nd.convert(model, nd.Whitening(group_size=16), calibration=data)
    assert not [module for module in converted.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        assert_within(converted(data[0]), model(data[0]), FOLDED_FLOAT32)
    plain = nd.convert(model, nd.Whitening(group_size=16))
    assert not [module for module in plain.modules() if isinstance(module, (nn.BatchNorm2d, ChannelAffine))]
    with torch.no_grad():
        assert plain.train()(data[0]).isfinite().all()


def lived_in_images(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.3)
    return model.eval()


def test_a_group_norm_of_one_group_is_a_layer_norm_and_stays():
    model = nd.convert(nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(1, 4), nn.Conv2d(4, 4, 1), nn.GroupNorm(2, 4)))
    assert [type(module) for module in model][1::2] == [nn.GroupNorm, nn.Identity]


def test_of_a_norm_that_stays_it_is_said_why(caplog):
    gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Sigmoid())
    with caplog.at_level("INFO", "netdeconv.surgery"):
        model = nd.convert(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), gate))
    assert [isinstance(norm, nn.BatchNorm2d) for norm in (model[1], model[2][2])] == [False, True]
    assert "2.2: skipped, the layers beside it stay as they are" in caplog.messages
