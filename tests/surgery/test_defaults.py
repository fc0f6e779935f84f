"""What convert does where nothing is set."""

import pytest
import torch
from torch import nn

import netdeconv as nd
from netdeconv.nn import WhitenedLayer
from netdeconv.surgery import NothingChangedWarning

FAST, STEM = nd.Whitening.fast(), nd.Whitening.fast_stem()


def network(channels=3):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3),
        nn.Conv2d(8, 8, 3, groups=2),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Flatten(),
        nn.Linear(32, 5),
    )


def settings(model):
    return {name: module.whitening for name, module in model.named_modules() if isinstance(module, WhitenedLayer)}


def test_the_first_layers_patches_and_the_others_channels():
    assert settings(nd.convert(network())) == {"0": STEM, "1": FAST, "2": FAST}
    assert (FAST.structure, STEM.structure) == ("channel", "full")
    assert FAST.rows_per_feature == STEM.rows_per_feature == 16
    assert (STEM.num_iterations, STEM.freeze) == (15, nd.Freeze(active=100, period=1000))


@pytest.mark.parametrize(("channels", "first"), [(16, STEM), (17, FAST)])
def test_a_part_of_a_network_has_no_first_layer(channels, first):
    assert settings(nd.convert(network(channels)))["0"] == first


def test_linear_layers_are_whitened_where_nothing_else_is():
    perceptron = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    assert settings(nd.convert(perceptron)) == {"0": FAST, "2": FAST}
    assert settings(nd.convert(network(), select="4")) == {"4": FAST}
    once = nd.convert(network())
    with pytest.warns(NothingChangedWarning):
        assert settings(nd.convert(once)) == settings(once)


def test_a_kind_can_be_set_alone():
    own = nd.Whitening(num_iterations=2)
    assert settings(nd.convert(network(), linear=own)) == {"0": STEM, "1": FAST, "2": FAST, "4": own}
    assert settings(nd.convert(network(), stem=own))["0"] == own
    assert settings(nd.convert(network(), named={"1": own, "4": None})) == {"0": STEM, "1": own, "2": FAST, "4": FAST}


def test_one_setting_is_for_all_kinds():
    paper = nd.Whitening.paper()
    assert settings(nd.convert(network(), paper)) == dict.fromkeys("0124", paper)


def test_trains_and_folds():
    torch.manual_seed(0)
    model = nd.convert(network())
    images = torch.randn(64, 3, 8, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(model(images), torch.arange(64) % 5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1
    model.eval()
    torch.testing.assert_close(nd.fold(model)(images), model(images))
