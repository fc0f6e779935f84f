"""Networks for ImageNet: names, what they mean, what is built, what is refused."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
import torch
from torch import nn
from torchvision import models as zoo

from netdeconv.models import architecture, build, build_imagenet, imagenet_architecture
from netdeconv.models.entry import split_name
from netdeconv.models.imagenet import KIND, NAMES


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "vgg11", "resnext50_32x4d"])
def test_a_d_at_the_end_means_the_converted_network(name):
    assert split_name(KIND, name, NAMES) == (name, False)
    assert split_name(KIND, f"{name}d", NAMES) == (name, True)
    with pytest.raises(ValueError, match=f"unknown ImageNet network '{name}d'; did you mean '{name}'"):
        build_imagenet(f"{name}d")


def test_no_name_of_torchvision_is_another_one_converted():
    assert not [name for name in NAMES if f"{name}d" in NAMES]
    assert all(split_name(KIND, name, NAMES) == (name, False) for name in NAMES)


def test_networks_have_the_classes_asked_for():
    with torch.device("meta"):
        model = build_imagenet("resnet18", num_classes=7)
        assert build_imagenet("resnet18").fc.out_features == 1000
    assert isinstance(model, zoo.ResNet)
    assert model.fc.out_features == 7


def test_networks_with_auxiliary_classifiers_return_one_tensor():
    with torch.device("meta"):
        model = build_imagenet("googlenet", num_classes=7)
        assert model(torch.empty(2, 3, 64, 64)).shape == (2, 7)


def test_pretrained_weights_are_asked_for_by_the_newest(monkeypatch):
    asked = {}
    monkeypatch.setattr(zoo, "get_model", lambda name, **settings: asked.update(name=name, **settings))
    build_imagenet("googlenet", pretrained=True)
    assert asked == {"name": "googlenet", "weights": "DEFAULT", "num_classes": 1000, "aux_logits": False}


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("resnet19", {}, r"unknown ImageNet network 'resnet19'; did you mean 'resnet1[0-9]+'\?"),
        ("resnet19d", {}, "unknown ImageNet network 'resnet19d'"),
        ("resnet18", {"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ("resnet18", {"num_classes": 7, "pretrained": True}, "weights of 'resnet18' are for 1000 classes, not 7"),
    ],
)
def test_what_makes_no_sense_is_refused(name, settings, message):
    with pytest.raises(ValueError, match=message):
        build_imagenet(name, **settings)


def test_entries_of_imagenet_networks_have_the_published_steps():
    resnet, mobile = architecture("imagenet/resnet18"), architecture("imagenet/mobilenet_v2")
    assert (resnet.stem_steps, resnet.stem_freeze) == (15, True)
    assert (resnet.grouped, resnet.depthwise, resnet.named, resnet.source) == (3, 1, {}, "torchvision")
    assert mobile.stem_steps == imagenet_architecture("efficientnet_b3").stem_steps == 10
    projections = {f"features.{number}.conv.2" for number in range(2, 18)} | {"features.1.conv.1"}
    with torch.device("meta"):
        names = {n: m for n, m in build_imagenet("mobilenet_v2").named_modules() if isinstance(m, nn.Conv2d)}
    assert {name for name in names if any(fnmatchcase(name, pattern) for pattern in mobile.named)} == projections


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_v2_s"])
def test_projections_and_gates_of_efficientnets_take_one_step(name):
    with torch.device("meta"):
        plain = build_imagenet(name, num_classes=10)
    named = imagenet_architecture(name).named
    convolutions = {own for own, module in plain.named_modules() if isinstance(module, nn.Conv2d)}
    # torchvision's projections are convolution and norm, without activation
    parts = [(own, module) for own, module in plain.named_modules() if type(module).__name__ == "Conv2dNormActivation"]
    projections = {f"{own}.0" for own, module in parts if len(module) == 2}
    gates = {own for own in convolutions if own.endswith((".fc1", ".fc2"))}
    found = {own for own in convolutions if any(fnmatchcase(own, pattern) for pattern in named)}
    assert found == projections | gates
    assert all(any(fnmatchcase(own, pattern) for own in convolutions) for pattern in named)


def test_imagenet_networks_are_built_by_name_like_the_others():
    with torch.device("meta"):
        model = build("imagenet/resnet18", num_classes=7, in_channels=3, image_size=64)
    assert model.fc.out_features == 7


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("imagenet/resnet19", {}, "unknown ImageNet network 'resnet19'"),
        ("imagenet/resnet18d", {}, "unknown ImageNet network 'resnet18d'; did you mean 'resnet18'"),
        ("imagenet/resnet18", {"in_channels": 1}, "takes images of 3 channels and has one width: .* 1 channels"),
        ("imagenet/resnet18", {"width": 0.5}, r"cannot have 3 channels and width 0\.5"),
    ],
)
def test_imagenet_networks_that_there_are_not_are_refused(name, settings, message):
    with pytest.raises(ValueError, match=message):
        build(name, **{"num_classes": 7, "in_channels": 3, **settings})
