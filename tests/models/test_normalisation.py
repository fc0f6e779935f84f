"""NormConfig: names, what changes of them, what a network's entry adds, and what is refused."""

from __future__ import annotations

import dataclasses

import pytest
from torch import nn

from netdeconv import models
from netdeconv.models import NORMALISATIONS, PLAIN_NORMS, NormConfig, normalise
from netdeconv.nn import Freeze, WhitenedLayer, Whitening
from netdeconv.surgery import SETTINGS

WHITENING = [name for name in NORMALISATIONS if name not in PLAIN_NORMS]


def network() -> nn.Module:
    """Every kind of layer that has settings of its own."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
        *(nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8)),
        *(nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 8, 3, groups=8)),
        *(nn.Flatten(), nn.Linear(8, 4)),
    )


def whitenings(model: nn.Module) -> dict[str, Whitening]:
    return {name: module.whitening for name, module in model.named_modules() if isinstance(module, WhitenedLayer)}


def entry(**settings) -> models.Architecture:
    return models.Architecture(build=network, description="", source="", **settings)


def normalised(config: NormConfig, **settings) -> nn.Module:
    return normalise(network(), config, entry(**settings))


@pytest.mark.parametrize("name", WHITENING)
def test_a_name_alone_means_the_settings_of_convert(name):
    assert NormConfig(name=name).settings() == SETTINGS[name]
    assert NormConfig(name=name).whitens
    kept = [module for module in normalised(NormConfig(name=name)) if isinstance(module, nn.BatchNorm2d)]
    assert len(kept) == (2 if name == "stem" else 0)


@pytest.mark.parametrize("name", PLAIN_NORMS)
def test_what_whitens_nothing_stands_where_batch_norm_stood(name):
    config = NormConfig(name=name)
    assert not config.whitens
    assert config.settings() is None
    kinds = [type(module).__name__ for module in normalised(config)]
    stands = {"batch_norm": "BatchNorm2d", "group_norm": "GroupNorm", "none": "Identity"}[name]
    assert (kinds[1], kinds[4]) == (stands, stands)
    assert "WhitenedConv2d" not in kinds


def test_every_name_of_convert_is_one():
    assert {*WHITENING} == {*SETTINGS}


def test_changes_reach_the_layers_that_they_are_of():
    config = NormConfig(
        name="paper", structure="channel", group_size=4, linear_group_size=2, num_iterations=3, eps=1e-3
    )
    found = whitenings(normalised(dataclasses.replace(config, sampling_stride=2, rows_per_feature=8)))
    shared = Whitening(eps=1e-3, sampling_stride=2, rows_per_feature=8)
    others = dataclasses.replace(shared, structure="channel", group_size=4, num_iterations=3)
    # the stem keeps its structure, its steps and its schedule
    stem = dataclasses.replace(shared, group_size=4, num_iterations=15, freeze=Freeze())
    linear = dataclasses.replace(shared, group_size=2, num_iterations=3)
    assert found == {"0": stem, "3": others, "5": others, "6": others, "8": linear}


def test_parts_can_be_left_out():
    paper = SETTINGS["paper"]
    assert NormConfig(name="paper", linear_group_size=0).settings().linear is None
    assert NormConfig(name="paper", stem=False).settings().stem == paper.convolution
    assert NormConfig(name="paper", freeze=False).settings().stem == dataclasses.replace(paper.stem, freeze=None)
    assert NormConfig(name="default", freeze=True).settings().stem.freeze == Freeze()
    assert NormConfig(name="paper", stem=True, freeze=True).settings() == paper


def test_a_networks_entry_has_steps_of_its_own():
    table = dataclasses.replace(entry(), stem_steps=10, stem_freeze=False, grouped=3, depthwise=1, named={"3": 2})
    found = whitenings(normalise(network(), NormConfig(name="paper"), table))
    steps = {name: whitening.num_iterations for name, whitening in found.items()}
    assert steps == {"0": 10, "3": 2, "5": 3, "6": 1, "8": 5}
    assert found["0"].freeze is None
    # only a stem that is held takes them: the default's is whitened as any other
    held_not = whitenings(normalise(network(), NormConfig(name="default"), table))
    assert held_not["0"] == SETTINGS["default"].stem
    assert held_not["6"].num_iterations == 1


def test_biases_can_be_taken_from_convolutions():
    model = normalised(NormConfig(name="default", bias=False))
    assert [model[number].bias is None for number in (0, 3, 5, 6, 8)] == [True, True, True, True, False]
    assert normalised(NormConfig(name="default"))[0].bias is not None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "papr"}, r"unknown norm 'papr'; did you mean 'paper'\?"),
        ({"eps": 1e-3}, "eps say how to whiten, but the norm is batch_norm: --deconv True, or --norm with one of"),
        ({"name": "none", "bias": False, "group_size": 4}, "group_size and bias say how to whiten"),
        ({"name": "paper", "eps": 0}, "eps must be positive"),
        ({"name": "paper", "linear_group_size": -1}, "group_size must be a positive integer"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        NormConfig(**settings)
