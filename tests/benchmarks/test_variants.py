"""The candidates: named settings, one set of weights, and a network without norms that is still right."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from benchmarks.variants import VARIANTS, build_network, without_norm
from torch import nn

from netdeconv.data import info
from netdeconv.lookup import UnknownNameError
from netdeconv.models import NORMALISATIONS, NormConfig
from netdeconv.nn import WhitenedLayer
from netdeconv.training import NetworkConfig
from netdeconv.training import build_network as build_by_program


def whitening_of(model: nn.Module) -> dict[str, object]:
    return {name: layer.whitening for name, layer in model.named_modules() if isinstance(layer, WhitenedLayer)}


def small(name: str) -> nn.Module:
    return build_network("lenet", name, num_classes=10, image_size=32)


@pytest.mark.parametrize("name", [name for name in VARIANTS if name in NORMALISATIONS and name != "batch_norm"])
def test_settings_are_those_of_the_training_program(name):
    config = NetworkConfig(arch="lenet", norm=NormConfig(name=name))
    assert whitening_of(small(name)) == whitening_of(build_by_program(config, info("cifar10")))


def test_every_normalisation_that_whitens_is_a_candidate():
    assert {name for name, kind in NORMALISATIONS.items() if kind.settings} | {"batch_norm"} <= set(VARIANTS)


def test_fewer_images_are_sampled_and_nothing_else_differs():
    for name, few in whitening_of(small("full16_few")).items():
        assert few == dataclasses.replace(whitening_of(small("full16"))[name], rows_per_feature=16)


def test_the_published_candidate_has_the_published_layers():
    kinds = [type(module).__name__ for module in small("published").modules()]
    assert (kinds.count("FastDeconv"), kinds.count("Delinear")) == (2, 3)
    assert small("published")(torch.randn(4, 3, 32, 32)).shape == (4, 10)


def test_all_candidates_start_from_the_same_weights():
    weights = {name: next(m.weight for m in small(name).modules() if hasattr(m, "weight")) for name in VARIANTS}
    for weight in weights.values():
        assert torch.equal(weight, weights["batch_norm"])


def test_unknown_candidates_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'channel'"):
        small("chanel")


class PreActivation(nn.Module):
    """A block whose shortcut reads what its norm reads."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(3, 3, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.relu(self.norm(x))) + x


def test_norms_go_and_biases_come():
    model = without_norm(nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True)))
    assert [type(module) for module in model] == [nn.Conv2d, nn.Identity, nn.ReLU]
    assert model[0].bias.tolist() == [0.0] * 4
    assert model[2].inplace  # nothing but the ReLU reads the convolution's output


def test_activations_do_not_overwrite_what_a_shortcut_reads():
    model = without_norm(PreActivation())
    x = torch.randn(2, 3, 4, 4)
    before = x.clone()
    y = model(x)
    assert torch.equal(x, before)
    assert torch.equal(y, model.conv(before.relu()) + before)
