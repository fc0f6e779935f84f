"""The candidates: the named normalisations, the published layers, one set of weights."""

from __future__ import annotations

import pytest
import torch
from benchmarks.harness.variants import VARIANTS, build_network
from torch import nn

from netdeconv.data.registry import info
from netdeconv.lookup import UnknownNameError
from netdeconv.models import NORMALISATIONS, NormConfig
from netdeconv.nn import WhitenedLayer
from netdeconv.tasks import Classification
from netdeconv.training.config import NetworkConfig


def whitening_of(model: nn.Module) -> dict[str, object]:
    return {name: layer.whitening for name, layer in model.named_modules() if isinstance(layer, WhitenedLayer)}


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_settings_are_those_of_the_training_program(name):
    config = NetworkConfig(arch="lenet", norm=NormConfig(name=name))
    assert whitening_of(build_network("lenet", name)) == whitening_of(
        Classification().build_network(config, info("cifar10"))
    )


def test_the_published_candidate_has_the_published_layers():
    model = build_network("lenet", "published")
    kinds = [type(module).__name__ for module in model.modules()]
    assert (kinds.count("FastDeconv"), kinds.count("Delinear")) == (2, 3)
    assert model(torch.randn(4, 3, 32, 32)).shape == (4, 10)


def test_all_candidates_start_from_the_same_weights():
    weights = [
        next(m.weight for m in build_network("lenet", name).modules() if hasattr(m, "weight")) for name in VARIANTS
    ]
    assert all(torch.equal(weight, weights[0]) for weight in weights)


def test_unknown_candidates_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'channel'"):
        build_network("lenet", "chanel")
