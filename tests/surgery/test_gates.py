"""Squeeze-and-excite gates: found by what they are made of, and left alone by default."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn
from torchvision.ops import SqueezeExcitation

import netdeconv as nd
from netdeconv import models
from netdeconv.surgery.gates import gates
from surgery.mixed import whitened

OWN = nd.Whitening(num_iterations=1)


class MeanGate(nn.Module):
    """Pools in its forward, as timm's."""

    def __init__(self, channels: int, out: int | None = None, hidden: int = 2, act: type[nn.Module] = nn.Sigmoid):
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, out or channels, 1)
        self.act = act()

    def forward(self, x):
        return x * self.act(self.expand(self.reduce(x.mean((2, 3), keepdim=True)).relu()))


class LinearGate(nn.Module):
    """Of linear layers in a Sequential of their own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Sequential(nn.Linear(channels, 2), nn.ReLU(), nn.Linear(2, channels), nn.Sigmoid())

    def forward(self, x):
        return x * self.fc(self.pool(x).flatten(1))[:, :, None, None]


class OwnHardSigmoid(nn.Hardtanh):
    """A library's own."""


class Block(nn.Module):
    """A 1x1 convolution, a gate and another one."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.expand, self.gate, self.project = nn.Conv2d(3, 8, 1), gate, nn.Conv2d(8, 4, 1)

    def forward(self, x):
        return self.project(self.gate(self.expand(x)))


def one_layer(size: int | tuple[int, int]) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(size), nn.Conv2d(8, 8, 1, bias=False), nn.Hardsigmoid())


@pytest.mark.parametrize(
    "gate",
    [
        *(MeanGate(8), MeanGate(8, act=nn.Hardsigmoid), MeanGate(8, act=OwnHardSigmoid)),
        *(LinearGate(8), one_layer(1), one_layer((1, 1)), SqueezeExcitation(8, 2)),
    ],
    ids=lambda gate: type(gate).__name__,
)
def test_gates_stay_plain_by_default_alone(gate, caplog):
    model = Block(gate)
    with caplog.at_level(logging.INFO, logger="netdeconv.surgery"):
        assert whitened(nd.convert(model)) == ["expand", "project"]
    inside = [name for name, module in model.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))][1:-1]
    assert {f"{name}: skipped, gate layers are to be left as they are" for name in inside} <= {*caplog.messages}
    everything = ["expand", *inside, "project"]
    assert whitened(nd.convert(model, OWN)) == whitened(nd.convert(model, "paper")) == everything
    assert whitened(nd.convert(model, OWN, gate=False)) == ["expand", "project"]
    asked = nd.convert(model, gate=OWN)
    assert whitened(asked) == everything
    assert asked.get_submodule(inside[0]).whitening == OWN


def test_a_gate_can_be_named():
    assert whitened(nd.convert(Block(MeanGate(8)), named={"gate.expand": OWN})) == ["expand", "gate.expand", "project"]


@pytest.mark.parametrize(
    "module",
    [
        MeanGate(8, out=4),  # other channels than it takes
        MeanGate(8, hidden=16),  # expands instead of squeezing
        MeanGate(8, act=nn.ReLU),  # a bottleneck
        nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Conv2d(8, 8, 1), nn.Sigmoid()),  # four positions
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 3, padding=1), nn.Sigmoid()),  # nine taps
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1), nn.Sigmoid()),  # a classifier
        nn.Sequential(nn.AdaptiveAvgPool2d(1), *(nn.Conv2d(8, 8, 1) for _ in range(3)), nn.Sigmoid()),
    ],
    ids=range(7),
)
def test_what_looks_alike_is_no_gate(module):
    assert gates(nn.Sequential(module)) == set()


def test_a_model_that_ends_with_a_sigmoid_is_no_gate():
    assert whitened(nd.convert(nn.Sequential(nn.Linear(8, 2), nn.Linear(2, 8), nn.Sigmoid()))) == ["0", "1"]


@pytest.mark.parametrize(("name", "number"), [("efficientnet_b0", 32), ("mobilenet_v3_small", 18), ("resnet18", 0)])
def test_gates_of_torchvision_are_found(name, number):
    zoo = pytest.importorskip("torchvision.models")
    with torch.device("meta"):
        model = zoo.get_model(name, weights=None)
    found = gates(model)
    assert len(found) == number
    named = {own for own, module in model.named_modules() if module in found}
    assert named == {own for own, _ in model.named_modules() if own.endswith((".fc1", ".fc2"))}


def test_gates_of_our_own_networks_are_found():
    with torch.device("meta"):
        net = models.build("efficientnet_b0", num_classes=10, in_channels=3)
    found = gates(net)
    expected = {m for part in net.modules() if isinstance(part, SqueezeExcitation) for m in part.modules()}
    assert found == {module for module in expected if isinstance(module, nn.Conv2d)}
    assert found


@pytest.mark.parametrize("name", ["mobilenetv3_small_100", "regnety_002", "seresnet18"])
def test_gates_of_timm_are_found(name):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        model = timm.create_model(name)
    found = gates(model)
    named = {own for own, module in model.named_modules() if module in found}
    inside = (own for own, _ in model.named_modules() if ".se." in own)
    assert named == {own for own in inside if own.rsplit(".")[-1].startswith(("conv", "fc"))}
    assert named
