"""Where the time of a training step goes: operations of torch by kind, side by side for several networks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from benchmarks.harness.steps import TrainingStep
from benchmarks.harness.timing import rounded

# Parts of operations' names; the first kind that has one of them counts.
KINDS = {
    "convolutions": ("convolution", "conv2d"),
    "batch norm": ("batch_norm",),
    "eigenvalues": ("linalg_eig",),
    "products of matrices": ("mm", "addmv", "matmul", "einsum"),
    "activations and pooling": ("relu", "threshold", "pool", "softmax", "nll"),
    "the optimiser": ("_foreach",),
    "copies": ("copy", "clone", "contiguous", "cat", "im2col", "unfold", "index", "pad"),
    "sums": ("sum", "mean", "norm", "dot"),
    "other arithmetic": (
        "mul",
        "div",
        "add",
        "sub",
        "sqrt",
        "pow",
        "lerp",
        "reciprocal",
        "neg",
        "triu",
        "fill",
        "zero",
    ),
}
OTHERS, ALL = "views and the rest", "all"


def kind_of(operation: str) -> str:
    """The kind of an operation of torch, by its name."""
    return next((kind for kind, parts in KINDS.items() if any(part in operation for part in parts)), OTHERS)


def by_kind(steps: Mapping[str, TrainingStep]) -> list[dict[str, Any]]:
    """How many operations of each kind a warm step calls, and their own milliseconds; watching them takes time, too."""
    found = {name: dict(_measured(step)) for name, step in steps.items()}
    none = {"ms": 0, "calls": 0}
    return [
        {
            "operations": kind,
            **{f"{name}, {what}": own.get(kind, none)[what] for name, own in found.items() for what in none},
        }
        for kind in (*KINDS, OTHERS, ALL)
        if any(kind in own for own in found.values())
    ]


def _measured(step: TrainingStep) -> Iterator[tuple[str, dict[str, float]]]:
    with torch.profiler.profile() as recorded:
        step()
    calls, seconds = defaultdict[str, int](int), defaultdict[str, float](float)
    for event in recorded.key_averages():
        if event.key.startswith("aten::"):
            for kind in (kind_of(event.key), ALL):
                calls[kind] += event.count
                seconds[kind] += getattr(event, f"self_{'device' if step.device.type == 'cuda' else 'cpu'}_time_total")
    for kind, count in calls.items():
        yield kind, {"ms": rounded(seconds[kind] / 1e3), "calls": count}
