"""What conversion leaves as it was: sharing, random numbers, mode, dtype, memory format, hooks, activations."""

from __future__ import annotations

import copy

import torch
from torch import nn

import netdeconv as nd
from surgery.mixed import Net, whitened


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
    assert converted.conv1.statistics.running_mean.dtype == torch.float64
    assert [converted.grouped.weight.requires_grad, converted.grouped.bias.requires_grad] == [False, True]
    assert [converted.conv1.weight.requires_grad, converted.conv1.bias.requires_grad] == [False, False]


def test_device_and_half_precision_are_carried():
    with torch.device("meta"):
        model = Net()
    converted = nd.convert(model)
    assert {tensor.device.type for tensor in converted.state_dict().values()} == {"meta"}
    half = nd.convert(Net().bfloat16())
    assert half.conv1.weight.dtype == half.conv1.bias.dtype == torch.bfloat16
    assert half.conv1.statistics.running_mean.dtype == torch.float32


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
