"""Every network converts; the data of its conversion are the published ones."""

from __future__ import annotations

import pytest
from torch import nn

import netdeconv as nd
from netdeconv import models
from netdeconv.nn import WhitenedConv2d, WhitenedLayer

# Those that differ from another one in the number of their blocks alone.
DEEPER = {"vgg13", "vgg16", "vgg19", "resnet34", "resnet101"}
PLAIN = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d)


def small(name: str) -> nn.Module:
    """A narrow network: its structure is all that is looked at."""
    return models.build(name, num_classes=10, in_channels=3, width=0.1, image_size=16)


@pytest.mark.parametrize("name", [name for name in models.list_names() if name not in DEEPER])
def test_every_layer_of_every_network_converts_and_no_norm_is_left(name):
    plain = small(name)
    layers = sum(type(module) in PLAIN[:2] for module in plain.modules())
    model = nd.convert(plain, nd.Whitening(structure="channel", group_size=8))
    kinds = [type(module) for module in model.modules()]
    assert not set(PLAIN) & set(kinds)
    assert sum(issubclass(kind, WhitenedLayer) for kind in kinds) == layers
    assert (WhitenedConv2d in kinds) == (name not in ("mlp", "linear"))


# Steps of the stem, of grouped convolutions, of depthwise ones, and of others by their names.
PUBLISHED = {
    "resnext29_32x4d": (10, 3, None, {}),
    "mobilenet_v2": (10, None, 1, {"*.project": 1}),
    "dpn92": (10, None, None, {}),
    "efficientnet_b0": (
        10,
        None,
        1,
        {"*.project": 1, "*.fc[12]": 1},
    ),  # ours: batch norm was published between its ends
    "pnasnet_a": (10, None, None, {}),
    "preact_resnet18": (10, None, None, {}),
}


@pytest.mark.parametrize("name", [name for name in models.list_names() if name not in ("linear", "conv", "mlp")])
def test_the_settings_are_the_published_ones(name):
    entry = models.architecture(name)
    steps, *others = PUBLISHED.get(name, (15, None, None, {}))
    assert (entry.stem_steps, entry.stem_freeze) == (steps, True)
    assert [entry.grouped, entry.depthwise, entry.named] == others


def test_a_network_of_one_layer_has_no_stem_that_is_held():
    entry = models.architecture("conv")
    assert (entry.stem_steps, entry.stem_freeze) == (5, False)
