"""What stands where batch norm stood: group norm, or nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netdeconv as nd
from netdeconv import models
from netdeconv.models import PLAIN_NORMS, replace_norms
from netdeconv.nn import WhitenedLayer
from surgery.networks import Preactivation


@pytest.mark.parametrize("kind", PLAIN_NORMS)
def test_every_norm_is_replaced_and_nothing_else(kind):
    plain = models.build("resnet18", num_classes=10, in_channels=3, width=0.25)
    before = [type(module) for module in plain.modules()]
    state = {name: value.clone() for name, value in plain.state_dict().items()}
    model = replace_norms(plain, kind)
    assert model is plain
    stands_there = {
        "batch_norm": nn.BatchNorm2d,
        "group_norm": nn.GroupNorm,
        "none": nn.Identity,
    }[kind]
    after = [type(module) for module in model.modules()]
    assert after == [stands_there if old is nn.BatchNorm2d else old for old in before]
    kept = {name: value for name, value in model.named_parameters() if name in state}
    # of 20 norms three statistics each are no parameters, and two parameters go with the norm
    assert len(kept) == len(state) - 3 * 20 - 2 * 20 * (kind == "none")
    assert all(torch.equal(value, state[name]) for name, value in kept.items())
    assert all((layer.bias is None) == (kind != "none") for layer in model.modules() if isinstance(layer, nn.Conv2d))
    assert model(torch.randn(4, 3, 32, 32)).isfinite().all()


def test_a_block_that_starts_as_its_shortcut_still_does():
    norm = nn.BatchNorm2d(4)
    nn.init.zeros_(norm.weight)
    (last,) = replace_norms(nn.Sequential(norm), "group_norm")
    assert torch.equal(last.weight, torch.zeros(4))
    assert isinstance(last, nn.GroupNorm)


@pytest.mark.parametrize(
    ("channels", "groups"), [(512, 32), (64, 32), (32, 16), (44, 22), (3, 1), (1, 1), (48, 24), (96, 32)]
)
def test_group_norm_has_32_groups_unless_they_would_be_single_channels(channels, groups):
    norm = replace_norms(nn.Sequential(nn.BatchNorm2d(channels)), "group_norm")[0]
    assert norm.num_groups == groups


def test_without_norm_an_activation_does_not_overwrite_what_a_shortcut_reads():
    model = Preactivation()
    x = torch.randn(2, 3, 6, 6)
    replace_norms(model, "none")
    stem = model.stem(x)
    inner = stem + model.conv2(torch.relu(model.conv1(torch.relu(stem))))
    assert torch.equal(model(x), inner)


def test_a_shared_norm_is_replaced_once():
    norm = nn.BatchNorm1d(4)
    model = replace_norms(nn.ModuleList([norm, nn.Sequential(norm)]), "group_norm")
    assert model[0] is model[1][0]
    assert isinstance(model[0], nn.GroupNorm)


def test_whitened_layers_keep_what_they_have():
    plain = models.build("resnet18", num_classes=10, in_channels=3, width=0.25)
    model = replace_norms(nd.convert(plain, nd.Whitening(group_size=4), select="stem"), "none")
    assert [name for name, module in model.named_modules() if isinstance(module, WhitenedLayer)] == ["stem.0"]
    assert model.stem[0].bias is None
    assert model.stages[0][0].branch[0].bias is not None


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"unknown norm 'group'; did you mean 'group_norm'\?"):
        replace_norms(nn.Sequential(), "group")
    with pytest.raises(ValueError, match="cannot be replaced in place"):
        replace_norms(nn.BatchNorm1d(3), "none")
