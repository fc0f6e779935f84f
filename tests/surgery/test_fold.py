"""fold: keys, values and outputs of the plain layers; what it keeps and what it refuses."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

import netdeconv as nd
from netdeconv.surgery import NothingChangedWarning
from surgery.networks import Residual, batches
from tolerances import FOLDED_FLOAT32, assert_close, assert_within

WHITENING = nd.Whitening(group_size=4)
CHANNEL = nd.Whitening(structure="channel", group_size=3)


def trained(model: nn.Module, data: list[torch.Tensor]) -> nn.Module:
    """The model with random biases after a few passes in training mode."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    for batch in data:
        model.train()(batch)
    return model


def images(layer: nn.Module, count: int = 8) -> torch.Tensor:
    channels = getattr(layer, "in_channels", None) or layer.in_features
    return torch.randn(count, channels, *(6,) * (layer.weight.dim() - 2)) * 0.5 + 1


LAYERS = [
    nd.WhitenedConv1d(6, 4, 3, stride=2, padding="valid", whitening=WHITENING),
    nd.WhitenedConv1d(6, 4, 5, padding="same", whitening=WHITENING),
    nd.WhitenedConv2d(6, 4, (3, 2), (2, 1), (1, 0), (1, 2), groups=2, bias=False, whitening=WHITENING),
    nd.WhitenedConv2d(6, 4, 3, padding=1, padding_mode="circular", whitening=nd.Whitening(structure="channel")),
    nd.WhitenedConv2d(6, 6, 3, groups=6, whitening=WHITENING),
    nd.WhitenedConv3d(6, 4, 2, whitening=nd.Whitening(structure="channel", group_size=3)),
    nd.WhitenedConvTranspose1d(6, 4, 3, 2, 1, 1, whitening=WHITENING),
    nd.WhitenedConvTranspose2d(6, 4, 3, 2, 1, 1, groups=2, whitening=WHITENING),
    nd.WhitenedConvTranspose3d(6, 4, 2, stride=2, groups=2, bias=False, whitening=WHITENING),
    nd.WhitenedLinear(6, 4, bias=False, whitening=WHITENING),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_every_kind_has_the_outputs_of_evaluation(layer):
    data = [images(layer) for _ in range(3)]
    trained(layer, data)
    folded = nd.fold(layer)
    assert type(folded) is getattr(nn, type(layer).__name__.removeprefix("Whitened"))
    assert [*folded.state_dict()] == ["weight", "bias"]
    assert folded.weight.shape == layer.weight.shape
    assert bool(((folded.weight - layer.weight).abs() > 0.05).any())
    expected = layer.eval()(data[0])
    assert_within(folded(data[0]), expected, FOLDED_FLOAT32)
    assert_within(folded.train()(data[0]), expected, FOLDED_FLOAT32)


def test_values_are_the_weight_times_the_whitening_matrix():
    layer = trained(nd.WhitenedLinear(6, 4, whitening=nd.Whitening(group_size=6)), [torch.randn(20, 6) + 1])
    folded = nd.fold(layer)
    matrix, mean = layer.statistics.running_whitening[0], layer.statistics.running_mean[0]
    assert_close(folded.weight, layer.weight @ matrix, size=6)
    assert_close(folded.bias, layer.bias - layer.weight @ matrix @ mean, size=12)


def test_folded_model_equals_the_evaluated_one_and_holds_nothing_else():
    plain = Residual()
    model = trained(nd.convert(plain, WHITENING), batches())
    folded = nd.fold(model)
    layers = ["stem.0", "body.0", "body.3", "up", "hidden", "head"]
    assert [*folded.state_dict()] == [f"{name}.{leaf}" for name in layers for leaf in ("weight", "bias")]
    kinds = {name: type(module) for name, module in plain.named_modules() if name in layers}
    assert {name: type(module) for name, module in folded.named_modules() if name in layers} == kinds
    assert not any(type(module).__module__.startswith("netdeconv") for module in folded.modules())
    x = batches(1)[0]
    assert model.training
    assert folded.training
    with torch.no_grad():
        assert_within(folded.eval()(x), model.eval()(x), FOLDED_FLOAT32)


def test_a_folded_state_loads_into_a_plain_network():
    model = trained(nd.convert(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))), batches()).eval()
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
    plain.load_state_dict(nd.fold(model).state_dict())
    x = batches(1)[0]
    assert_within(plain(x), model(x), FOLDED_FLOAT32)


def test_the_model_itself_is_untouched_unless_in_place():
    model = trained(nd.convert(Residual(), WHITENING), batches()).eval()
    nd.fold(model)
    assert type(model.head) is nd.WhitenedLinear
    x = batches(1)[0]
    expected = model(x).detach()
    assert nd.fold(model, inplace=True) is model
    assert type(model.head) is nn.Linear
    assert_within(model(x), expected, FOLDED_FLOAT32)
    assert not model.head.training


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((16, 6), nn.Linear), ((16, 6, 5), nn.Conv1d), ((8, 6, 5, 5), nn.Conv2d), ((4, 6, 3, 4, 5), nn.Conv3d)],
)
@pytest.mark.parametrize("channels", [6, 7])  # two blocks of 3; two of 4, one of them filled up
def test_channel_whitening_becomes_pointwise(shape, kind, channels):
    data = torch.randn(shape[0], channels, *shape[2:]) * 2 + 1
    layer = nd.ChannelWhitening(channels, whitening=nd.Whitening(group_size=4))
    model = nn.Sequential(layer)
    model(data)
    folded = nd.fold(model)
    assert type(folded[0]) is kind
    assert [*folded.state_dict()] == ["0.weight", "0.bias"]
    with torch.no_grad():
        assert_within(folded(data), model.eval()(data), FOLDED_FLOAT32)


def test_channel_whitening_of_unknown_input_is_refused():
    model = nn.Sequential(nd.WhitenedLinear(6, 6), nd.ChannelWhitening(6))
    with pytest.raises(ValueError, match=r"ChannelWhitening '1' has seen no input.*run one batch"):
        nd.fold(model, inplace=True)
    assert type(model[0]) is nd.WhitenedLinear


def test_shared_layers_stay_shared():
    layer = nd.WhitenedConv2d(3, 3, 1)
    folded = nd.fold(nn.ModuleList([layer, nn.Sequential(layer)]))
    assert type(folded[0]) is nn.Conv2d
    assert folded[0] is folded[1][0]


def test_dtype_memory_format_and_requires_grad_are_carried():
    model = nn.Sequential(nd.WhitenedConv2d(3, 4, 3), nd.WhitenedConv2d(4, 4, 3)).to(torch.bfloat16)
    model = model.to(memory_format=torch.channels_last)
    model[0].requires_grad_(False)
    folded = nd.fold(model)
    assert {parameter.dtype for parameter in folded.parameters()} == {torch.bfloat16}
    assert [parameter.requires_grad for parameter in folded.parameters()] == [False, False, True, True]
    assert folded[1].weight.is_contiguous(memory_format=torch.channels_last)
    assert not folded[1].weight.is_contiguous()


def test_random_state_is_untouched():
    model = nd.convert(Residual())
    state = torch.get_rng_state()
    nd.fold(model)
    assert torch.equal(torch.get_rng_state(), state)


class OwnLayer(nd.WhitenedLinear):
    """A user's subclass."""


def test_nothing_to_fold_warns():
    with pytest.warns(NothingChangedWarning, match="fold changed nothing"):
        nd.fold(nn.Sequential(nn.Linear(3, 2)))
    with pytest.warns(NothingChangedWarning):
        assert type(nd.fold(nn.Sequential(OwnLayer(3, 2)))[0]) is OwnLayer
    with pytest.raises(ValueError, match="single layer cannot be replaced in place"):
        nd.fold(nd.WhitenedLinear(3, 2), inplace=True)


def test_a_folded_model_can_be_exported_and_saved():
    model = trained(nd.convert(Residual(), WHITENING), batches()).eval()
    folded = nd.fold(model)
    x = batches(1)[0]
    expected = model(x).detach()
    exported = torch.export.export(folded, (x,)).module()
    assert_within(exported(x), expected, FOLDED_FLOAT32)
    file = io.BytesIO()
    torch.save(folded.state_dict(), file)
    file.seek(0)
    again = nd.fold(nd.convert(Residual(), WHITENING))
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(again.eval()(x), folded(x))
