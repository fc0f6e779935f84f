"""convert without calibration: which layers become what, with which settings, and what is refused or said."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

import netdeconv as nd
from netdeconv.surgery import NothingChangedWarning
from surgery.mixed import OTHER, SMALL, Net, norms, types, whitened

PLAIN = [
    nn.Conv1d(6, 4, 3, stride=2, padding="valid"),
    nn.Conv1d(6, 4, 5, padding="same"),
    nn.Conv2d(6, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2),
    nn.Conv2d(6, 4, 3, padding=1, padding_mode="circular", bias=False),
    nn.Conv3d(6, 4, 2),
    nn.ConvTranspose1d(6, 4, 3, stride=2, padding=1, output_padding=1, dilation=2),
    nn.ConvTranspose3d(6, 4, 2, stride=2, groups=2, bias=False),
    nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1, groups=2),
    nn.Linear(6, 4, bias=False),
]


@pytest.mark.parametrize("plain", PLAIN, ids=str)
def test_every_kind_keeps_its_arguments_and_parameters(plain):
    layer = nd.convert(plain, SMALL)
    assert type(layer).__name__ == f"Whitened{type(plain).__name__}"
    assert isinstance(layer, type(plain))
    shared = [name for name in vars(plain) if not name.startswith("_") and name != "training"]
    assert len(shared) >= 2
    assert {name: getattr(layer, name) for name in shared} == {name: getattr(plain, name) for name in shared}
    assert [*layer.state_dict()][: len(plain.state_dict())] == [*plain.state_dict()]
    for name, value in plain.state_dict().items():
        assert torch.equal(layer.state_dict()[name], value)
    assert layer.whitening == SMALL
    # identity statistics: in evaluation a layer that has seen nothing is the plain one
    x = torch.randn(2, 6, *(7,) * (plain.weight.dim() - 2))
    assert torch.equal(layer.eval()(x), plain(x))


def test_everything_is_converted_and_all_norms_go():
    model = Net()
    converted = nd.convert(model, SMALL)
    assert whitened(converted) == [
        "conv1",
        "layer1.conv",
        "layer1.depthwise",
        "layer2.conv",
        "layer2.depthwise",
        "grouped",
        "fc",
    ]
    assert norms(converted) == []
    assert types(converted)["bn1"] == types(converted)["norm"] == "Identity"
    assert norms(model) == ["bn1", "layer1.bn", "layer1.bn2", "layer2.bn", "layer2.bn2", "norm"]
    assert whitened(model) == []
    converted(torch.randn(4, 3, 9, 9)).sum().backward()
    assert all(parameter.grad is not None for parameter in converted.parameters())


def test_removed_norms_leave_zero_biases_behind():
    model = Net()
    converted = nd.convert(model)
    for name in ("conv1", "layer1.conv", "layer2.depthwise"):
        assert torch.equal(converted.get_submodule(name).bias, torch.zeros(8))
    assert torch.equal(converted.fc.bias, model.fc.bias)
    without_norms = nd.convert(nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.Linear(2, 2)))
    assert without_norms[0].bias is None


def test_each_kind_has_its_settings():
    stem = nd.Whitening(num_iterations=15, freeze=nd.Freeze())
    linear, depthwise = nd.Whitening(group_size=3), nd.Whitening(num_iterations=1)
    grouped = nd.Whitening(num_iterations=3)
    model = nd.convert(Net(), OTHER, stem=stem, linear=linear, grouped=grouped, depthwise=depthwise)
    found = {name: model.get_submodule(name).whitening for name in whitened(model)}
    assert found == {
        "conv1": stem,
        "layer1.conv": OTHER,
        "layer1.depthwise": depthwise,
        "layer2.conv": OTHER,
        "layer2.depthwise": depthwise,
        "grouped": grouped,
        "fc": linear,
    }


@pytest.mark.parametrize(
    ("arguments", "left", "kept"),
    [
        ({"linear": False}, {"fc": "Linear"}, []),
        ({"stem": False}, {"conv1": "Conv2d"}, ["bn1"]),
        (
            {"depthwise": False},
            {"layer1.depthwise": "Conv2d", "layer2.depthwise": "Conv2d"},
            ["layer1.bn2", "layer2.bn2"],
        ),
    ],
)
def test_false_leaves_a_kind_alone_and_the_norms_behind_it(arguments, left, kept):
    converted = nd.convert(Net(), SMALL, **arguments)
    plain = {name: kind for name, kind in types(converted).items() if kind in ("Conv2d", "Linear")}
    assert plain == left
    assert norms(converted) == kept


def test_stem_alone_keeps_all_norms():
    for arguments in ({"select": "stem", "whitening": SMALL}, {"whitening": False, "stem": SMALL}):
        model = nd.convert(Net(), **arguments)
        assert whitened(model) == ["conv1"]
        assert len(norms(model)) == 6
        assert model.conv1.bias is None
        assert model.layer1.act.inplace


def test_a_norm_between_plain_layers_stays():
    head = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), head)
    converted = nd.convert(model, linear=False)
    assert norms(converted) == ["3.1"]


@pytest.mark.parametrize(
    ("select", "layers", "remaining_norms"),
    [
        ("layer1", ["layer1.conv", "layer1.depthwise"], ["bn1", "layer2.bn", "layer2.bn2", "norm"]),
        (["layer1.conv", "fc"], ["layer1.conv", "fc"], 6),
        ("*.depthwise", ["layer1.depthwise", "layer2.depthwise"], 6),
        ("!layer?", ["conv1", "grouped", "fc"], ["layer1.bn", "layer1.bn2", "layer2.bn", "layer2.bn2"]),
        (
            ["layer*", "!layer2"],
            ["layer1.conv", "layer1.depthwise"],
            ["bn1", "layer2.bn", "layer2.bn2", "norm"],
        ),
        (lambda name, module: isinstance(module, nn.Linear), ["fc"], 6),
        (lambda name, module: name == "norm" or name == "grouped", ["grouped"], 5),
    ],
)
def test_select(select, layers, remaining_norms):
    converted = nd.convert(Net(), SMALL, select=select)
    assert whitened(converted) == layers
    if isinstance(remaining_norms, int):
        assert len(norms(converted)) == remaining_norms
    else:
        assert norms(converted) == remaining_norms


def test_a_predicate_sees_the_modules_of_the_model_itself():
    model = Net()
    converted = nd.convert(model, select=lambda name, module: module is model.grouped)
    assert whitened(converted) == ["grouped"]


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"no module's name matches 'layr1'; the nearest name is 'layer1'"):
        nd.convert(Net(), select="layr1")
    with pytest.raises(ValueError, match="'nothing'"):
        nd.convert(Net(), select=["layer1", "!nothing"])
    with pytest.raises(TypeError, match="select must be None, names, or a function"):
        nd.convert(Net(), select=3)
    with pytest.raises(TypeError, match=r"must hold name patterns \(strings\)"):
        nd.convert(Net(), select=[nn.Linear])
    with pytest.raises(TypeError, match="whitening must be a Whitening, a name, Settings, None or False, got 64"):
        nd.convert(Net(), 64)
    for name in ("linear", "stem", "grouped", "depthwise", "gate"):
        with pytest.raises(TypeError, match=f"{name} must be a Whitening, None or False, got 64"):
            nd.convert(Net(), **{name: 64})
    with pytest.raises(ValueError, match="single layer cannot be replaced in place"):
        nd.convert(nn.Linear(3, 2), inplace=True)
    compiled = nn.Module()
    compiled._orig_mod = Net()
    with pytest.raises(ValueError, match="the model is compiled"):
        nd.convert(compiled)


def test_converting_twice_changes_nothing_more(caplog):
    once = nd.convert(Net(), SMALL, select="!layer2")
    with (
        caplog.at_level(logging.INFO, logger="netdeconv.surgery"),
        pytest.warns(NothingChangedWarning, match="convert changed nothing"),
    ):
        twice = nd.convert(once, OTHER, select="!layer2")
    assert caplog.messages == []
    assert types(twice) == types(once)
    assert twice.conv1.whitening == SMALL
    rest = nd.convert(once, OTHER)
    assert [rest.conv1.whitening, rest.layer2.conv.whitening] == [SMALL, OTHER]


def test_a_whitened_stem_is_still_the_stem():
    model = nd.convert(nd.convert(Net(), SMALL, select="stem"), SMALL, stem=OTHER)
    assert model.conv1.whitening == model.layer1.conv.whitening == SMALL


def test_nothing_to_convert_warns():
    with pytest.warns(NothingChangedWarning):
        nd.convert(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)))
    with pytest.warns(NothingChangedWarning):
        assert norms(nd.convert(Net(), False)) == norms(Net())


def test_rows_of_a_norm_over_one_are_cut_to_it():
    model = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(6, 4, 2, groups=2), nn.Linear(4, 3))
    with torch.no_grad():
        for layer in model:
            layer.weight.normal_(std=0.1)
        model[0].weight[0] *= 100
        model[2].weight[1] *= 100
    before = [layer.weight.detach().clone() for layer in model]
    converted = nd.convert(model, nd.Whitening(group_size=2), inplace=True)
    first, last = converted[0].weight, converted[2].weight
    torch.testing.assert_close(first[0].norm(), torch.tensor(1.0))
    torch.testing.assert_close(first[0], before[0][0] / before[0][0].norm())
    torch.testing.assert_close(last[1], before[2][1] / before[2][1].norm())
    assert torch.equal(first[1:], before[0][1:])
    assert torch.equal(converted[1].weight, before[1])
