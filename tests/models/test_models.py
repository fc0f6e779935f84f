"""Sizes of inputs, width, conversion, refusals."""

from __future__ import annotations

import pytest
import torch

from netdeconv import convert, models
from netdeconv.nn import WhitenedConv2d, WhitenedLinear


@pytest.mark.parametrize("name", models.list_names())
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (3, 96)])
def test_every_network_takes_every_data_set(name, channels, size):
    with torch.device("meta"):
        model = models.build(name, num_classes=7, in_channels=channels, image_size=size)
        assert model(torch.empty(3, channels, size, size)).shape == (3, 7)


def test_width_scales_every_layer_but_the_last():
    half, full = (
        [
            tuple(p.shape[:2])
            for p in models.build("vgg11", num_classes=10, in_channels=3, width=w).parameters()
            if p.ndim > 1
        ]
        for w in (0.5, 1.0)
    )
    assert half[0] == (32, 3)
    assert half[-1] == (10, 256)
    assert [out * 2 for out, _ in half[:-1]] == [out for out, _ in full[:-1]]


@pytest.mark.parametrize("name", models.list_names())
def test_every_network_converts_completely(name):
    model = models.build(name, num_classes=10, in_channels=1, width=0.1)
    converted = convert(model)
    kinds = [type(module) for module in converted.modules()]
    assert not {torch.nn.Conv2d, torch.nn.Linear, torch.nn.BatchNorm2d, torch.nn.BatchNorm1d} & set(kinds)
    assert (WhitenedConv2d in kinds) == (models.architecture(name).stem is not None)
    assert WhitenedLinear in kinds


def test_the_stem_settings_are_the_published_ones():
    assert models.architecture("vgg11").stem == models.StemSettings(num_iterations=15, freeze=True)
    assert models.architecture("mlp").stem is None


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown architecture 'vgg_16'; did you mean 'vgg16'\?"):
        models.build("vgg_16", num_classes=10, in_channels=3)


@pytest.mark.parametrize(
    ("setting", "value"), [("num_classes", 0), ("in_channels", 0), ("image_size", 0), ("width", 0.0)]
)
def test_numbers_out_of_range_are_refused(setting, value):
    settings = {"num_classes": 10, "in_channels": 3, setting: value}
    with pytest.raises(ValueError, match=setting):
        models.build("vgg11", **settings)


def test_lenet_refuses_images_that_its_convolutions_do_not_fit():
    with pytest.raises(ValueError, match="at least 12x12"):
        models.build("lenet", num_classes=10, in_channels=1, image_size=11)
    model = models.build("lenet", num_classes=10, in_channels=1, image_size=12)
    assert model(torch.randn(2, 1, 12, 12)).shape == (2, 10)
