"""load_reference_state_dict: published checkpoints evaluate as published; others are refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import netdeconv as nd
from tolerances import GOLDEN, assert_within

GOLDENS = Path(__file__).resolve().parents[3] / "shared" / "goldens"
CASES = json.loads((GOLDENS / "reference_layers.json").read_text()) if GOLDENS.exists() else {}
REFERENCE = nd.Whitening(group_size=4, layout="reference")


def golden_layer(kind: str, args: dict, features: int) -> nn.Module:
    settings = nd.Whitening(
        group_size=args.get("block", 64),
        num_iterations=args["n_iter"],
        eps=args["eps"],
        sampling_stride=args.get("sampling_stride", 1),
        layout="reference",
    )
    plain = {k: v for k, v in args.items() if k not in ("block", "n_iter", "eps", "sampling_stride")}
    if kind == "channel":
        return nd.ChannelWhitening(features, whitening=settings, dtype=torch.float64)
    layer = nd.WhitenedConv2d if kind == "conv" else nd.WhitenedLinear
    return layer(**plain, whitening=settings, dtype=torch.float64)


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("root", ["running_deconv", "running_cov_isqrt"])
def test_published_state_evaluates_as_published(name, root):
    case, arrays = CASES[name], np.load(GOLDENS / "reference_layers.npz")
    state = {}
    for key in arrays:
        what = key.removeprefix(f"{name}/")
        if key.startswith(f"{name}/param.") or key.startswith(f"{name}/step1.buffer_"):
            leaf = what.removeprefix("param.").removeprefix("step1.buffer_").replace("running_deconv", root)
            state[f"module.layer.{leaf}"] = torch.from_numpy(np.asarray(arrays[key]))
    model = nn.ModuleDict({"layer": golden_layer(case["kind"], case["args"], case["input_shape"][1])})
    keys = nd.load_reference_state_dict(model, state)
    assert keys == ([], [])
    output = model.eval()["layer"](torch.from_numpy(arrays[f"{name}/eval.input"]))
    assert_within(output, torch.from_numpy(arrays[f"{name}/eval.output"]), GOLDEN)


def checkpoint() -> dict[str, torch.Tensor]:
    """A grouped convolution and a linear layer, as the published code saves them."""
    return {
        "0.weight": torch.randn(4, 2, 3, 3),
        "0.bias": torch.randn(4),
        "0.running_mean": torch.randn(2 * 18),
        "0.running_deconv": torch.randn(2, 18, 18),
        "2.weight": torch.randn(3, 4),
        "2.bias": torch.randn(3),
        "2.running_mean": torch.randn(4),
        "2.running_deconv": torch.randn(4, 4),
    }


def network(whitening: nd.Whitening = REFERENCE) -> nn.Module:
    conv = nd.WhitenedConv2d(4, 4, 3, groups=2, whitening=whitening)
    return nn.Sequential(conv, nn.Flatten(), nd.WhitenedLinear(4, 3, whitening=whitening))


def test_names_and_shapes_are_translated():
    model, state = network(), checkpoint()
    assert nd.load_reference_state_dict(model, state) == ([], [])
    assert torch.equal(model[0].running_mean, state["0.running_mean"].view(2, 18))
    assert torch.equal(model[0].running_whitening, state["0.running_deconv"])
    assert torch.equal(model[2].running_whitening, state["2.running_deconv"].unsqueeze(0))
    assert torch.equal(model[2].running_mean, state["2.running_mean"].unsqueeze(0))
    assert torch.equal(model[2].weight, state["2.weight"])
    assert int(model[0].num_batches_tracked) == int(model[2].num_batches_tracked) == 1


def test_a_saved_counter_is_loaded():
    model = nn.Sequential(nd.ChannelWhitening(4, whitening=REFERENCE))
    state = {
        "0.running_mean1": torch.randn(4, 1),
        "0.running_deconv": torch.eye(4),
        "0.running_mean2": torch.zeros(1, 1),
        "0.running_var": torch.ones(1, 1),
        "0.num_batches_tracked": torch.tensor(7),
    }
    nd.load_reference_state_dict(model, state)
    assert int(model[0].num_batches_tracked) == 7
    assert torch.equal(model[0].running_mean, state["0.running_mean1"].T)


def test_the_wrapper_is_dropped_but_not_an_own_module_of_that_name():
    state = checkpoint()
    nd.load_reference_state_dict(network(), {f"module.{key}": value for key, value in state.items()})
    inner = nn.ModuleDict({"module": network()})
    nd.load_reference_state_dict(inner, {f"module.{key}": value for key, value in state.items()})
    assert torch.equal(inner["module"][2].bias, state["2.bias"])


def test_missing_and_unexpected_keys_are_listed_and_nothing_is_loaded():
    model, state = network(), checkpoint()
    del state["2.running_deconv"]
    state["4.weight"] = torch.zeros(1)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    message = r"another network: missing \['2.running_whitening'\], unexpected \['4.weight'\]"
    with pytest.raises(ValueError, match=message):
        nd.load_reference_state_dict(model, state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    keys = nd.load_reference_state_dict(model, state, strict=False)
    assert keys == (["2.running_whitening"], ["4.weight"])
    assert torch.equal(model[0].weight, state["0.weight"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("2.running_deconv", torch.eye(2)),
        ("2.weight", torch.zeros(4, 3)),
        ("0.running_mean", torch.zeros(35)),
    ],
)
def test_other_shapes_are_refused(key, value):
    with pytest.raises(ValueError, match=rf"the checkpoint has shape {re.escape(str((*value.shape,)))}, the"):
        nd.load_reference_state_dict(network(), {**checkpoint(), key: value})


def test_other_layouts_and_plain_models_are_refused():
    with pytest.raises(ValueError, match=r"layers \['0', '2'\] have another layout"):
        nd.load_reference_state_dict(network(nd.Whitening()), checkpoint())
    with pytest.raises(ValueError, match="no whitened layer"):
        nd.load_reference_state_dict(nn.Linear(2, 2), checkpoint())
    with pytest.raises(ValueError, match=r"\['net', 'epoch'\] are none"):
        nd.load_reference_state_dict(network(), {"net": checkpoint(), "epoch": 3})
