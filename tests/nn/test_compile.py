"""Whole-graph compilation: the same numbers, in training and evaluation, without falling back to Python."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

import netdeconv.nn as nnd
from layers import SETTINGS, build
from tolerances import assert_close

# The larger case is traced with its gradient. A schedule computes both what it freezes and what it does not.
CASES = {
    "conv1d": (dataclasses.replace(SETTINGS[0], num_iterations=1, freeze=nnd.Freeze(active=1, period=3)), "aot_eager"),
    "linear": (SETTINGS[0], "eager"),
}


@pytest.mark.parametrize("kind", CASES)
def test_full_graph_equals_eager(kind):
    torch.compiler.reset()
    settings, backend = CASES[kind]
    layer, x = build(kind, settings)
    compiled = torch.compile(copy.deepcopy(layer), fullgraph=True, backend=backend)
    for _ in range(2):
        leaves = [x.clone().requires_grad_(), x.clone().requires_grad_()]
        results = [module(leaf) for module, leaf in zip((layer, compiled), leaves, strict=True)]
        for y in results:
            y.square().sum().backward()
        assert_close(results[1], results[0], size=36)
        assert_close(leaves[1].grad, leaves[0].grad, size=36, c=16)
        x = torch.randn_like(x)
    with torch.no_grad():
        assert_close(compiled.eval()(x), layer.eval()(x), size=36)
    for name, buffer in layer.state_dict().items():
        assert_close(compiled.state_dict()[f"_orig_mod.{name}"].double(), buffer.double(), size=36)
