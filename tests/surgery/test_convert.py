"""convert without calibration: which layers become what, what they keep, and what is refused or said."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
from torch import nn

import netdeconv as nd
from netdeconv.nn import WhitenedLayer
from netdeconv.surgery import NothingChangedWarning

SMALL = nd.Whitening(group_size=4)
OTHER = nd.Whitening(structure="channel", group_size=2)


class Block(nn.Module):
    """Convolution, norm, activation and a depthwise convolution with its norm, around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.act = nn.ReLU(inplace=True)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        return x + self.bn2(self.depthwise(self.act(self.bn(self.conv(x)))))


class Net(nn.Module):
    """A stem, two blocks, a grouped convolution with a group norm, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = Block(8)
        self.layer2 = Block(8)
        self.grouped = nn.Conv2d(8, 8, 1, groups=2)
        self.norm = nn.GroupNorm(2, 8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.layer2(self.layer1(self.bn1(self.conv1(x))))
        return self.fc(self.norm(self.grouped(x)).mean((2, 3)))


def types(model: nn.Module) -> dict[str, str]:
    return {name: type(module).__name__ for name, module in model.named_modules() if not [*module.children()]}


def whitened(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, WhitenedLayer)]


def norms(model: nn.Module) -> list[str]:
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)
    return [name for name, module in model.named_modules() if isinstance(module, kinds)]


PLAIN = [
    nn.Conv1d(6, 4, 3, stride=2, padding="valid"),
    nn.Conv1d(6, 4, 5, padding="same"),
    nn.Conv2d(6, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2),
    nn.Conv2d(6, 4, 3, padding=1, padding_mode="circular", bias=False),
    nn.Conv3d(6, 4, 2),
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
    stem = nd.Whitening.paper_stem()
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


def test_none_means_the_defaults_and_the_same_for_all_kinds():
    settings = {module.whitening for module in nd.convert(Net()).modules() if isinstance(module, WhitenedLayer)}
    assert settings == {nd.Whitening()}


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        ({"linear": False}, {"fc": "Linear"}),
        ({"stem": False}, {"conv1": "Conv2d"}),
        ({"depthwise": False}, {"layer1.depthwise": "Conv2d", "layer2.depthwise": "Conv2d"}),
    ],
)
def test_false_leaves_a_kind_alone(arguments, left):
    converted = nd.convert(Net(), SMALL, **arguments)
    plain = {name: kind for name, kind in types(converted).items() if kind in ("Conv2d", "Linear")}
    assert plain == left
    assert norms(converted) == []


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
    for name in ("whitening", "linear", "stem", "grouped", "depthwise"):
        with pytest.raises(TypeError, match=f"{name} must be a Whitening, None or False, got 64"):
            nd.convert(Net(), **{name: 64})
    with pytest.raises(ValueError, match="single layer cannot be replaced in place"):
        nd.convert(nn.Linear(3, 2), inplace=True)
    compiled = nn.Module()
    compiled._orig_mod = Net()
    with pytest.raises(ValueError, match="the model is compiled"):
        nd.convert(compiled)


def test_shared_modules_stay_shared():
    conv, norm = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
    model = nn.ModuleDict({"a": nn.Sequential(conv, norm), "b": nn.Sequential(norm, conv), "c": conv})
    converted = nd.convert(model)
    assert type(converted["c"]) is nd.WhitenedConv2d
    assert converted["a"][0] is converted["b"][1] is converted["c"]
    assert converted["a"][1] is converted["b"][0]
    assert type(converted["a"][1]) is nn.Identity
    by_later_name = nd.convert(model, select="c")
    assert by_later_name["a"][0] is by_later_name["c"]
    assert type(by_later_name["a"][0]) is nd.WhitenedConv2d


def test_tied_parameters_stay_tied():
    model = nn.ModuleDict({"in": nn.Embedding(7, 4), "out": nn.Linear(4, 7, bias=False)})
    model["out"].weight = model["in"].weight
    converted = nd.convert(model)
    assert converted["out"].weight is converted["in"].weight


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


def test_random_state_is_untouched():
    state = torch.get_rng_state()
    model = Net()
    assert not torch.equal(torch.get_rng_state(), state)
    state = torch.get_rng_state()
    nd.convert(model)
    assert torch.equal(torch.get_rng_state(), state)


def test_mode_dtype_and_requires_grad_are_carried():
    model = Net().double().eval()
    model.layer1.train()
    model.grouped.weight.requires_grad_(False)
    model.conv1.weight.requires_grad_(False)
    converted = nd.convert(model)
    assert [converted.conv1.training, converted.layer1.conv.training, converted.layer1.bn.training] == [
        False,
        True,
        True,
    ]
    assert {p.dtype for p in converted.parameters()} == {torch.float64}
    assert converted.conv1.running_mean.dtype == torch.float64
    assert [converted.grouped.weight.requires_grad, converted.grouped.bias.requires_grad] == [False, True]
    assert [converted.conv1.weight.requires_grad, converted.conv1.bias.requires_grad] == [False, False]


def test_device_and_half_precision_are_carried():
    with torch.device("meta"):
        model = Net()
    converted = nd.convert(model)
    assert {tensor.device.type for tensor in converted.state_dict().values()} == {"meta"}
    half = nd.convert(Net().bfloat16())
    assert half.conv1.weight.dtype == half.conv1.bias.dtype == torch.bfloat16
    assert half.conv1.running_mean.dtype == torch.float32


def test_memory_format_is_kept():
    model = Net().to(memory_format=torch.channels_last)
    converted = nd.convert(model)
    weight = converted.layer1.conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()


def test_in_place_keeps_parameters_for_an_optimiser():
    model = Net()
    before = dict(model.named_parameters())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    assert nd.convert(model, inplace=True) is model
    assert whitened(model)
    for name in ("conv1.weight", "layer1.depthwise.weight", "fc.bias"):
        assert dict(model.named_parameters())[name] is before[name]
    old = copy.deepcopy(model.conv1.weight)
    model(torch.randn(4, 3, 9, 9)).pow(2).sum().backward()
    optimizer.step()
    assert not torch.equal(model.conv1.weight, old)


def test_hooks_and_their_handles_go_along():
    model, seen = Net(), []
    handle = model.conv1.register_forward_hook(lambda module, args, output: seen.append("conv"))
    model.bn1.register_forward_pre_hook(lambda module, args: seen.append("norm"))
    nd.convert(model, inplace=True)
    model(torch.randn(4, 3, 9, 9))
    assert seen == ["conv", "norm"]
    handle.remove()
    model(torch.randn(4, 3, 9, 9))
    assert seen == ["conv", "norm", "norm"]


class Preactivation(nn.Module):
    """In-place activation after a norm whose input is also the shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.bn, self.act, self.conv = nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return x + self.conv(self.act(self.bn(x)))


def test_an_activation_no_longer_overwrites_what_the_norm_used_to_copy():
    model = nd.convert(Preactivation()).eval()
    x = torch.randn(2, 4, 5, 5)
    given = x.clone()
    model(x)
    assert torch.equal(x, given)


def test_an_activation_stays_in_place_behind_a_layer_of_a_sequential():
    def relu() -> nn.ReLU:
        return nn.ReLU(inplace=True)

    shared = relu()
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), relu()),  # 2: behind the convolution
        *(nn.MaxPool2d(1), relu()),  # 4: behind a pool, which may keep what it made
        *(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), shared, nn.Sequential(shared)),  # 7, 8: called twice
        *(nn.BatchNorm2d(4), relu()),  # 10: reads what 8 gave
    )
    converted = nd.convert(model, nd.Whitening(group_size=4))
    kept = [name for name, module in converted.named_modules() if getattr(module, "inplace", False)]
    assert kept == ["2"]
    x = torch.randn(4, 3, 3, 3)
    converted(x).sum().backward()


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
