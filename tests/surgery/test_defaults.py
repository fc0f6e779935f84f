"""What convert does where nothing is set, and what the named settings are."""

import dataclasses

import pytest
import torch
from torch import nn

import netdeconv as nd
from netdeconv.nn import WhitenedLayer
from netdeconv.surgery import SETTINGS, NothingChangedWarning, Settings

FIRST = nd.Whitening(rows_per_feature=16)
CHANNELS = nd.Whitening(structure="channel", rows_per_feature=16, num_iterations=3)
HEAD, FEATURES = nd.Whitening(group_size=512, num_iterations=3), nd.Whitening(group_size=512)
HELD = nd.Whitening(num_iterations=15, freeze=nd.Freeze(active=100, period=1000))
PATCHES, FULL16 = nd.Whitening(), nd.Whitening(group_size=16)
CHANNEL = nd.Whitening(structure="channel")
OWN = nd.Whitening(num_iterations=2)


def network(channels=3):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3),
        nn.Conv2d(8, 8, 3, groups=2),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Flatten(),
        nn.Linear(32, 5),
    )


def settings(model):
    return {name: module.whitening for name, module in model.named_modules() if isinstance(module, WhitenedLayer)}


def test_the_first_layers_patches_the_others_channels_and_wide_blocks_of_features():
    found = settings(nd.convert(network()))
    assert found == {"0": FIRST, "1": CHANNELS, "2": CHANNELS, "4": HEAD}
    assert settings(nd.convert(network(), "default")) == found
    assert (FIRST.structure, FIRST.num_iterations, FIRST.freeze) == ("full", 5, None)


@pytest.mark.parametrize(
    ("name", "first", "others", "linear"),
    [
        ("paper", HELD, PATCHES, FEATURES),
        ("full16", HELD, FULL16, FEATURES),
        ("channel", CHANNEL, CHANNEL, FEATURES),
        ("stem", HELD, None, None),
    ],
)
def test_named_settings(name, first, others, linear):
    expected = {"0": first, "1": others, "2": others, "4": linear}
    assert settings(nd.convert(network(), name)) == {key: own for key, own in expected.items() if own is not None}


def test_a_name_that_is_none_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown settings 'papr'; did you mean 'paper'\? \(known: default"):
        nd.convert(network(), "papr")
    assert [*SETTINGS] == ["default", "paper", "full16", "channel", "stem"]


@pytest.mark.parametrize(("channels", "first"), [(16, FIRST), (17, CHANNELS)])
def test_a_part_of_a_network_has_no_first_layer(channels, first):
    assert settings(nd.convert(network(channels)))["0"] == first
    assert settings(nd.convert(network(channels), stem=OWN))["0"] == OWN


def test_linear_layers_are_whitened_alone_too():
    perceptron = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    assert settings(nd.convert(perceptron)) == {"0": HEAD, "2": HEAD}
    assert settings(nd.convert(network(), select="4")) == {"4": HEAD}
    once = nd.convert(network())
    with pytest.warns(NothingChangedWarning):
        assert settings(nd.convert(once)) == settings(once)


def test_a_kind_can_be_set_alone():
    assert settings(nd.convert(network(), linear=OWN)) == {"0": FIRST, "1": CHANNELS, "2": CHANNELS, "4": OWN}
    assert settings(nd.convert(network(), "paper", grouped=False)) == {"0": HELD, "2": PATCHES, "4": FEATURES}
    by_name = settings(nd.convert(network(), named={"1": OWN, "4": None}))
    assert by_name == {"0": FIRST, "1": OWN, "2": CHANNELS, "4": CHANNELS}


def test_settings_of_each_kind_are_given_at_once():
    kinds = [nd.Whitening(num_iterations=steps) for steps in (1, 2, 3, 4, 6)]
    names = ("convolution", "stem", "linear", "grouped", "depthwise")
    own = Settings(**dict(zip(names, kinds, strict=True)))
    model = nn.Sequential(network(), nn.Conv2d(8, 8, 1))
    found = settings(nd.convert(model, own))
    assert found == {"0.0": kinds[1], "0.1": kinds[3], "0.2": kinds[4], "0.4": kinds[2], "1": kinds[0]}
    assert settings(nd.convert(model, Settings(grouped=OWN))) == {"0.1": OWN}
    assert settings(nd.convert(model, own, grouped=OWN))["0.1"] == OWN


def test_norms_go_where_other_convolutions_than_the_stem_are_whitened():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    kept = [isinstance(module, nn.BatchNorm2d) for module in nd.convert(model, "stem")]
    assert kept == [False, True, False, True]
    assert not [module for module in nd.convert(model) if isinstance(module, nn.BatchNorm2d)]


def test_one_setting_is_for_all_kinds():
    assert settings(nd.convert(network(), PATCHES)) == dict.fromkeys("0124", PATCHES)
    assert Settings.of(OWN) == Settings(**dict.fromkeys((f.name for f in dataclasses.fields(Settings)), OWN))
    assert Settings.of(OWN, stem=HELD, linear=FEATURES).stem == HELD


@pytest.mark.parametrize("layer", [nn.Conv2d(4, 6, 3), nn.ConvTranspose2d(4, 6, 3, groups=2), nn.Linear(4, 6)])
def test_rows_are_cut_to_the_scale_of_the_norm_that_went(layer):
    linear = isinstance(layer, nn.Linear)
    norm = nn.BatchNorm1d(6) if linear else nn.BatchNorm2d(6)
    following = nn.Linear(6, 6) if linear else nn.Conv2d(6, 6, 1)
    with torch.no_grad():
        for weight in (layer.weight, following.weight):
            weight.normal_(0, 3)
        norm.weight.copy_(torch.tensor([0, 0.5, -0.25, 1, 2, 100]))
    first, _, second = nd.convert(nn.Sequential(layer, norm, following))
    lengths = first._weight_rows(first.weight).flatten(1).norm(dim=1).view(6, -1)
    before = first._weight_rows(layer.weight).flatten(1).norm(dim=1).view(6, -1)
    expected = torch.minimum(norm.weight.detach().abs().unsqueeze(1).expand_as(before), before)
    torch.testing.assert_close(lengths, expected)
    torch.testing.assert_close(second.weight.flatten(1).norm(dim=1), torch.ones(6))


def test_trains_and_folds():
    torch.manual_seed(0)
    model = nd.convert(network())
    images = torch.randn(64, 3, 8, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(model(images), torch.arange(64) % 5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1
    model.eval()
    torch.testing.assert_close(nd.fold(model)(images), model(images))
