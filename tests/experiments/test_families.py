"""The named normalisations whiten what they say."""

from __future__ import annotations

import pytest

from netdeconv.data.registry import info
from netdeconv.experiments.running.families import norm_config
from netdeconv.models import NormConfig
from netdeconv.nn import WhitenedLayer
from netdeconv.tasks import Classification
from netdeconv.training.config import NetworkConfig

CHANGES = {"group_size": 4, "linear_group_size": 16}


def whitened(arch: str, name: str) -> dict[str, tuple[str, int, int]]:
    config = NetworkConfig(arch=arch, width=0.25, norm=norm_config(name, CHANGES))
    network = Classification().build_network(config, info("digits"))
    return {
        module_name: (
            module.whitening.structure,
            module.whitening.group_size,
            module.whitening.num_iterations,
        )
        for module_name, module in network.named_modules()
        if isinstance(module, WhitenedLayer)
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("batch_norm", {}),
        ("stem", {"0": ("full", 4, 15)}),
        ("channel", {"0": ("channel", 4, 5), "4": ("channel", 4, 5), "9": ("full", 16, 5)}),
        ("default", {"0": ("full", 4, 5), "4": ("channel", 4, 3), "9": ("full", 16, 3)}),
        ("paper", {"0": ("full", 4, 15), "4": ("full", 4, 5), "9": ("full", 16, 5)}),
        ("full16", {"0": ("full", 4, 15), "4": ("full", 4, 5), "9": ("full", 16, 5)}),
    ],
)
def test_normalisations_whiten_what_they_say(name, expected):
    found = whitened("lenet", name)
    assert {layer: found[layer] for layer in expected} == expected
    assert ("9" in found) == (name not in ("batch_norm", "stem"))
    assert (len(found) == 1) == (name == "stem")


@pytest.mark.parametrize("name", ["none", "group_norm"])
def test_other_norms_whiten_no_input(name):
    assert norm_config(name, CHANGES) == NormConfig(name=name)
    assert not whitened("lenet", name)


def test_a_network_without_convolutions_has_no_stem():
    assert whitened("mlp", "paper") == dict.fromkeys(("1", "4", "7", "10"), ("full", 16, 5))
