"""Oracle: the exact numbers of the published layers, where the golden files lie beside the repository."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import netdeconv.nn as nnd

GOLDENS = Path(__file__).parents[3] / "shared" / "goldens"
# Both sides are float64 sums of at most 10^4 terms through roots of condition at most 10^5: the issue asks for 1e-9.
RELATIVE = 1e-9

CASES = sorted(json.loads((GOLDENS / "reference_layers.json").read_text())) if GOLDENS.exists() else []
BUFFERS = {
    "running_mean": "running_mean",
    "running_deconv": "running_whitening",
    "running_mean1": "running_mean",
    "running_mean2": "running_mean2",
    "running_var": "running_var",
    "num_batches_tracked": "num_batches_tracked",
}


def build(kind: str, args: dict, features: int) -> torch.nn.Module:
    settings = nnd.Whitening(
        group_size=args.get("block", 64),
        num_iterations=args["n_iter"],
        eps=args["eps"],
        sampling_stride=args.get("sampling_stride", 1),
        layout="reference",
    )
    plain = {k: v for k, v in args.items() if k not in ("block", "n_iter", "eps", "sampling_stride")}
    if kind == "channel":
        return nnd.ChannelWhitening(features, whitening=settings, dtype=torch.float64)
    layer = nnd.WhitenedConv2d if kind == "conv" else nnd.WhitenedLinear
    return layer(**plain, whitening=settings, dtype=torch.float64)


def assert_close(actual: torch.Tensor, expected: np.ndarray, what: str) -> None:
    wanted = torch.from_numpy(np.asarray(expected))
    error = (actual.detach().reshape(wanted.shape) - wanted).abs().max()
    assert error <= RELATIVE * max(1.0, float(wanted.abs().max())), f"{what}: error {error:.2e}"


@pytest.mark.skipif(not CASES, reason="the golden numbers lie beside the repository, not in it")
def test_all_published_cases_are_here():
    assert len(CASES) == 15


@pytest.mark.parametrize("name", CASES)
def test_layers_equal_the_published_ones(name: str):
    case = json.loads((GOLDENS / "reference_layers.json").read_text())[name]
    arrays = np.load(GOLDENS / "reference_layers.npz")
    layer = build(case["kind"], case["args"], case["input_shape"][1])
    for parameter in ("weight", "bias"):
        if f"{name}/param.{parameter}" in arrays:
            getattr(layer, parameter).data.copy_(torch.from_numpy(arrays[f"{name}/param.{parameter}"]))
    for step in ("step0", "step1"):
        x = torch.from_numpy(arrays[f"{name}/{step}.input"]).requires_grad_()
        layer.zero_grad()
        output = layer(x)
        output.backward(torch.from_numpy(arrays[f"{name}/{step}.cotangent"]))
        assert_close(output, arrays[f"{name}/{step}.output"], f"{step} output")
        assert_close(x.grad, arrays[f"{name}/{step}.grad_input"], f"{step} grad_input")
        for parameter in ("weight", "bias"):
            if f"{name}/{step}.grad_{parameter}" in arrays:
                gradient = getattr(layer, parameter).grad
                assert_close(gradient, arrays[f"{name}/{step}.grad_{parameter}"], f"{step} grad_{parameter}")
        for published, ours in BUFFERS.items():
            if f"{name}/{step}.buffer_{published}" in arrays:
                assert_close(getattr(layer, ours), arrays[f"{name}/{step}.buffer_{published}"], published)
    layer.eval()
    evaluated = layer(torch.from_numpy(arrays[f"{name}/eval.input"]))
    assert_close(evaluated, arrays[f"{name}/eval.output"], "evaluation")
