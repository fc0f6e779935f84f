"""Sizes of inputs, width, and what is refused."""

from __future__ import annotations

import re

import pytest
import torch

from netdeconv import models

ONE_LAYER = ("linear", "conv")


# Those that differ from another one in the number of their blocks alone.
DEEPER = {"vgg13", "vgg16", "vgg19", "resnet34", "resnet101"}
FAMILIES = [name for name in models.list_names() if name not in DEEPER]


def shape_of_output(name: str, channels: int, size: int, width: float) -> tuple[int, ...]:
    model = models.build(name, num_classes=7, in_channels=channels, image_size=size, width=width)
    with torch.no_grad():  # narrow networks are cheaper than decisions of the "meta" device
        return tuple(model(torch.randn(2, channels, size, size)).shape)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_takes_small_images_of_one_channel(name):
    assert shape_of_output(name, channels=1, size=28, width=0.2) == (2, 7)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_takes_larger_images_at_another_width(name):
    assert shape_of_output(name, channels=3, size=64, width=0.3) == (2, 7)


@pytest.mark.parametrize("name", FAMILIES)
def test_width_scales_the_channels(name):
    with torch.device("meta"):
        half, full = (models.build(name, num_classes=10, in_channels=3, width=w) for w in (0.5, 1.0))
    # The hidden units of squeeze-and-excitation are rounded up to one.
    shapes = [
        [tuple(p.shape) for key, p in model.named_parameters() if p.ndim > 1 and not re.search(r"\.fc[12]\.", key)]
        for model in (half, full)
    ]
    assert len(shapes[0]) == len(shapes[1])
    if name in ONE_LAYER:
        assert shapes[0] == shapes[1]
    else:
        assert all(2 * small[0] == large[0] for small, large in list(zip(*shapes, strict=True))[:-1])


def test_width_scales_every_layer_of_vgg_but_the_last():
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


# Side of the feature maps after the stem and after every stage, for images of 32x32.
SIDES = {
    "resnet18": [32, 32, 16, 8, 4],
    "senet18": [32, 32, 16, 8, 4],
    "resnext29_32x4d": [32, 32, 16, 8],
    "mobilenet_v2": [32, 32, 32, 16, 8, 8, 4, 4],
    "dpn92": [32, 32, 16, 8, 4],
    "pnasnet_a": [32, 32, 16, 8],
    "efficientnet_b0": [32, 16, 16, 8, 4, 4, 2, 1],
}


@pytest.mark.parametrize("name", SIDES)
def test_stages_have_their_resolutions(name):
    sides = []
    with torch.no_grad():
        model = models.build(name, num_classes=10, in_channels=3, width=0.1)
        for part in (model.stem, *model.stages):
            part.register_forward_hook(lambda module, inputs, output: sides.append(output.shape[-1]))
        model(torch.randn(2, 3, 32, 32))
    assert sides == SIDES[name]


def test_a_densenet_keeps_the_resolution_of_its_stem_and_halves_it_three_times():
    sides = []
    with torch.no_grad():
        features = models.build("densenet121", num_classes=10, in_channels=3, width=0.1).features
        for name in ("conv0", "denseblock1", "transition1", "transition2", "transition3", "norm5"):
            features.get_submodule(name).register_forward_hook(lambda _, inputs, output: sides.append(output.shape[-1]))
        features(torch.randn(2, 3, 31, 31))
    assert sides == [31, 31, 16, 8, 4, 4]


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
