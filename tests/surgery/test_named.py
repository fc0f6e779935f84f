"""convert(named=...): settings of layers by their names, before those of their kind."""

from __future__ import annotations

import logging

import pytest
from torch import nn

import netdeconv as nd
from netdeconv.nn import WhitenedLayer
from surgery.networks import Residual, batches, lived_in
from tolerances import FOLDED_FLOAT32, assert_within

BASE = nd.Whitening(group_size=4)
OTHER, THIRD = nd.Whitening(num_iterations=1), nd.Whitening(structure="channel")


def settings(model: nn.Module) -> dict[str, nd.Whitening]:
    return {name: module.whitening for name, module in model.named_modules() if isinstance(module, WhitenedLayer)}


def norms(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]


def test_names_have_precedence_over_kinds_and_later_patterns_over_earlier():
    model = nd.convert(Residual(), BASE, stem=THIRD, named={"body": OTHER, "stem.0": OTHER, "body.3": None})
    assert settings(model) == {
        "stem.0": OTHER,
        "body.0": OTHER,
        "body.3": BASE,
        "up": BASE,
        "hidden": BASE,
        "head": BASE,
    }
    assert norms(model) == []
    swapped = nd.convert(Residual(), BASE, named={"body.3": BASE, "body": OTHER})
    assert settings(swapped)["body.3"] == OTHER


def test_false_leaves_the_named_layers_alone_and_says_so(caplog):
    with caplog.at_level(logging.INFO, logger="netdeconv.surgery"):
        model = nd.convert(Residual(), BASE, named={"b?dy": False, "h*": False})
    assert list(settings(model)) == ["stem.0", "up"]
    # behind a layer that stays as it is, a norm stays too
    assert norms(model) == ["body.1", "body.4", "hidden_norm"]
    assert "body.3: skipped, 'b?dy' layers are to be left as they are" in caplog.messages


def test_named_layers_alone_are_whitened_and_norms_stay():
    model = nd.convert(Residual(), False, named={"stem": OTHER})
    assert settings(model) == {"stem.0": OTHER}
    assert len(norms(model)) == 5


def test_select_decides_before_names():
    model = nd.convert(Residual(), BASE, select="!body", named={"body.0": OTHER, "up": OTHER})
    assert settings(model) == {"stem.0": BASE, "up": OTHER, "hidden": BASE, "head": BASE}


def test_a_shared_layer_is_named_by_any_of_its_names():
    layer = nn.Linear(4, 4)
    model = nd.convert(nn.ModuleDict({"a": layer, "b": layer}), BASE, named={"b": OTHER})
    assert model["a"] is model["b"]
    assert model["a"].whitening == OTHER


def test_calibration_keeps_the_function_with_names_too():
    model, data = lived_in(Residual()), batches()
    converted = nd.convert(model, BASE, named={"body": THIRD, "hidden": False}, calibration=data).eval()
    assert settings(converted)["body.0"] == THIRD
    assert_within(converted(data[-1]), model(data[-1]), FOLDED_FLOAT32)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"named: no module's name matches 'bdy'; the nearest name is 'body'"):
        nd.convert(Residual(), named={"bdy": OTHER})
    with pytest.raises(TypeError, match=r"named\['body'\] must be a Whitening, None or False, got 3"):
        nd.convert(Residual(), named={"body": 3})
    with pytest.raises(TypeError, match="named must be a mapping of name patterns to settings"):
        nd.convert(Residual(), named=["body"])
