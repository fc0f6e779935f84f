"""From settings to a converted network: the steps that a network's entry has for some of its layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netdeconv import models
from netdeconv.data.registry import info
from netdeconv.models import NORMALISATIONS, PLAIN_NORMS, NormConfig
from netdeconv.nn import WhitenedConv2d
from netdeconv.surgery.plain import is_plain
from netdeconv.tasks import Classification
from netdeconv.training.config import NetworkConfig

COLOUR = info("cifar10")
build_network = Classification().build_network


def steps(config: NetworkConfig) -> dict[str, int]:
    """Newton-Schulz steps of whitened convolutions, by name."""
    network = build_network(config, COLOUR if "/" in config.arch else info("digits"))
    return {n: m.whitening.num_iterations for n, m in network.named_modules() if isinstance(m, WhitenedConv2d)}


def config_of(arch: str, norm: str = "paper", *, width: float = 0.25, **changes) -> NetworkConfig:
    if norm != "stem":
        changes["group_size"] = 4
    return NetworkConfig(arch=arch, width=width, norm=NormConfig(name=norm, **changes))


def mobilenet_steps(name: str) -> int:
    if name == "stem.0":
        return 10
    return 1 if ".depthwise." in name or ".project." in name else 5


@pytest.mark.parametrize("variant", ["paper", "channel"])
def test_mobilenet_takes_one_step_for_depthwise_and_projecting_layers(variant):
    found = steps(config_of("mobilenet_v2", variant))
    expected = {name: mobilenet_steps(name) for name in found}
    if variant == "channel":
        expected["stem.0"] = 5
    assert found == expected
    # 17 blocks of three convolutions, 4 shortcuts by convolution, stem and head
    assert len(found) == 17 * 3 + 4 + 2
    assert list(found.values()).count(1) == 2 * 17


def test_resnext_takes_three_steps_for_grouped_layers():
    found = steps(config_of("resnext29_32x4d"))
    grouped = [name for name in found if name.endswith(".branch.3")]
    assert len(grouped) == 9
    assert found == {name: {True: 3, False: 10 if name == "stem.0" else 5}[name in grouped] for name in found}


def test_the_stem_alone_leaves_all_else():
    assert steps(config_of("mobilenet_v2", "stem")) == {"stem.0": 10}
    assert steps(config_of("conv", "stem")) == {"0": 5}


def kinds(config: NetworkConfig) -> list[str]:
    return [type(module).__name__ for module in build_network(config, info("digits")).modules()]


@pytest.mark.parametrize(
    ("norm", "layer"),
    [("batch_norm", "BatchNorm2d"), ("group_norm", "GroupNorm")],
)
def test_the_norm_stands_where_nothing_is_whitened(norm, layer):
    assert kinds(NetworkConfig(arch="vgg11", width=0.1, norm=NormConfig(name=norm))).count(layer) == 8
    stem = config_of("vgg11", "stem")
    assert kinds(stem).count("BatchNorm2d") == 8
    assert kinds(stem).count("WhitenedConv2d") == 1
    assert kinds(config_of("vgg11")).count(layer) == 0


def test_without_norm_layers_have_biases():
    network = build_network(
        NetworkConfig(arch="preact_resnet18", width=0.1, norm=NormConfig(name="none")), info("digits")
    )
    assert "BatchNorm2d" not in {type(module).__name__ for module in network.modules()}
    assert all(module.bias is not None for module in network.modules() if isinstance(module, nn.Conv2d))


def test_all_norms_start_from_the_same_weights():
    weights = []
    for norm in PLAIN_NORMS:
        torch.manual_seed(3)
        network = build_network(NetworkConfig(arch="resnet18", width=0.1, norm=NormConfig(name=norm)), info("digits"))
        weights.append(torch.cat([module.weight.flatten() for module in network.modules() if is_plain(module)]))
    assert len(weights) == 3
    assert all(torch.equal(weight, weights[0]) for weight in weights)


def test_efficientnet_is_whitened_throughout():
    network = build_network(config_of("efficientnet_b0"), info("digits"))
    assert not [module for module in network.modules() if type(module) in (nn.Conv2d, nn.Linear)]


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match=r"unknown norm 'grp_norm'; did you mean 'group_norm'\?"):
        NormConfig(name="grp_norm")
    with pytest.raises(ValueError, match="group_size and bias say how to whiten"):
        NormConfig(group_size=4, bias=False)
    with pytest.raises(ValueError, match="group_size must be a positive integer, got 0"):
        NormConfig(name="paper", group_size=0)


def test_every_setting_reaches_its_layers():
    config = NormConfig(
        name="default", structure="full", group_size=8, linear_group_size=16, num_iterations=3, eps=1e-3,
        sampling_stride=2, rows_per_feature=5, freeze=True,
    )  # fmt: skip
    found = config.settings()
    assert (found.convolution.structure, found.convolution.group_size) == ("full", 8)
    assert (found.stem.num_iterations, found.stem.freeze is not None) == (5, True)  # steps are the others'
    assert (found.linear.group_size, found.linear.num_iterations) == (16, 3)
    for whitening in (found.convolution, found.stem, found.linear, found.grouped, found.depthwise):
        assert (whitening.eps, whitening.sampling_stride, whitening.rows_per_feature) == (1e-3, 2, 5)
    assert NormConfig(name="default", linear_group_size=0).settings().linear is None
    assert NormConfig(name="default", stem=False).settings().stem.structure == "channel"


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_every_normalisation_trains_a_step(name):
    network = build_network(NetworkConfig(arch="lenet", width=0.5, norm=NormConfig(name=name)), info("digits"))
    loss = network(torch.randn(8, 1, 32, 32)).square().mean()
    loss.backward()
    assert loss.isfinite()


def test_networks_for_imagenet_have_their_steps_too():
    found = steps(config_of("imagenet/mobilenet_v2", width=1.0))
    assert found["features.0.0"] == 10
    # 17 blocks, the first without an expansion; the head is the last convolution.
    assert sorted(found.values()) == [1] * 34 + [5] * 17 + [10]
    with torch.device("meta"):
        network = build_network(config_of("imagenet/resnext50_32x4d", width=1.0), COLOUR)
    grouped = {m.whitening.num_iterations for m in network.modules() if isinstance(m, WhitenedConv2d) and m.groups > 1}
    assert grouped == {3}
    assert not [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def test_pretrained_weights_are_for_plain_networks_of_imagenet(monkeypatch):
    asked = {}
    monkeypatch.setattr(models, "build_imagenet", lambda name, **settings: asked.update(name=name, **settings))
    build_network(NetworkConfig(arch="imagenet/resnet18", pretrained=True), COLOUR)
    assert asked == {"name": "resnet18", "num_classes": 10, "pretrained": True}
    with pytest.raises(ValueError, match=r"networks named imagenet/\.\.\., with batch norm, have pretrained weights"):
        NetworkConfig(arch="vgg11", pretrained=True)
    with pytest.raises(ValueError, match="calibration=batches"):
        NetworkConfig(arch="imagenet/resnet18", pretrained=True, norm=NormConfig(name="paper"))
