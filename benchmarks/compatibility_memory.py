"""Memory of a training step of torchvision's networks, whitened and not: ``python -m benchmarks.compatibility_memory``.

What autograd keeps for the backward pass, each storage once, without parameters, buffers and the batch: counted, not
timed, so that it does not depend on what else a machine does. Float32, the library's network and what ``convert`` makes
of it with nothing set. ``python -m benchmarks.compatibility_page`` draws the figure.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

import netdeconv as nd
from benchmarks.compatibility_networks import CLASSES, NAMES, build, inputs_of, logits
from benchmarks.harness import environment, tables
from benchmarks.harness.steps import persistent, saved_for_backward


def memory(model: nn.Module, inputs: torch.Tensor) -> int:
    """Bytes that a training step's forward pass keeps."""
    labels = torch.arange(len(inputs)) % CLASSES
    return saved_for_backward(
        lambda: nn.functional.cross_entropy(logits(model.train()(inputs)), labels),
        excluding=[*persistent(model), inputs, labels],
    )


def row(name: str, batch: int, size: int) -> dict[str, Any]:
    """A network's megabytes, and their ratio."""
    inputs = inputs_of(name, torch.randn(batch, 3, size, size))
    original = build(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, after = memory(original, inputs) / 1e6, memory(nd.convert(original), inputs) / 1e6
    return {
        "network": name,
        "batch norm, MB": round(before, 1),
        "whitened, MB": round(after, 1),
        "ratio": round(after / before, 3),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all that have norms."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compatibility_memory", description=__doc__)
    parser.add_argument("--names", nargs="+", default=[name for name in NAMES if name.startswith("torchvision/")])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--size", type=int, default=224, help="pixels: of few, weights outweigh what is saved")
    parser.add_argument("--output", type=Path, default=Path("results/checks/memory.json"))
    options = parser.parse_args(given)
    tables.one_by_one(
        "Memory of a training step of torchvision's networks",
        (row(name, options.batch_size, options.size) for name in options.names),
        options.output,
        command=environment.command("compatibility_memory", given),
        config={"batch_size": options.batch_size, "size": options.size, "dtype": "float32"},
    )


if __name__ == "__main__":
    main()
