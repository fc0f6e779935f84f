"""Seconds and memory of a training step, all variants interleaved: ``python -m benchmarks.training_step``.

A step is zero_grad, forward (channels last, under bfloat16 autocast where --dtype bfloat16), cross entropy, backward
and SGD with momentum, on one fixed batch of noise. All networks live in one process and take turns in a shuffled order;
ratios are taken within a round. Every timed step computes the statistics of all layers.
"""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness import options, profiles
from benchmarks.harness.steps import LR, MOMENTUM, WEIGHT_DECAY, TrainingStep, random_batch
from benchmarks.harness.timing import Samples, columns, describe, rounded
from benchmarks.harness.variants import BATCH_NORM, NONE, PUBLISHED, VARIANTS

MEMORY = {
    "cpu": "Memory is what autograd keeps for backward: each storage once, without parameters, buffers and the batch.",
    "cuda": "Memory is the allocator's peak over a step, less what was allocated before it (gradients freed).",
}
PORT = (
    "Under bfloat16 autocast the published code raises an error: `published` is then a plain port, with statistics and "
    "the product of D and the weight in float32 and the convolution in bfloat16."
)
GRAPH = ", graph"
TIMED, MEMORY_ONLY = "Training step", "Memory of a training step"
PROFILE = "Operations of torch in one step, and their own milliseconds while the profiler watches"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, checked."""
    usual = (NONE, BATCH_NORM, "default", "channel", "full16", "paper")
    parser = options.parser("training_step", __doc__, rounds=20, warmup=2, variants=usual)
    options.add_network(parser)
    parser.add_argument("--compile", action="store_true", help="torch.compile the networks")
    parser.add_argument("--graph", action="store_true", help="also replay every step as one CUDA graph")
    parser.add_argument("--memory-only", action="store_true", help="time nothing")
    parser.add_argument("--steps", type=int, default=None, help="steps in a timed sample: 1; 5 on cuda")
    parser.add_argument("--profile", nargs="+", metavar="VARIANT", default=[], help="show where their time goes")
    parsed = options.parse(parser, arguments)
    parsed.steps = parsed.steps or (5 if parsed.device == "cuda" else 1)
    return parsed


class Candidates:
    """The steps of all variants that can make one, the memory each needs, and what stopped the others."""

    def __init__(self, settings: argparse.Namespace, device: torch.device) -> None:
        self.steps: dict[str, TrainingStep] = {}
        self.memory: dict[str, int] = {}
        self.errors: dict[str, str] = {}
        batch = random_batch(settings.batch_size, settings.size, settings.classes, device, seed=settings.seed)
        graphs = [f"{name}{GRAPH}" for name in settings.variants] if settings.graph else []
        for name in [*settings.variants, *graphs]:
            try:
                self._add(name, settings, batch)
            except Exception as error:  # out of memory, or what cannot be compiled, is a row of the table
                self.errors[name] = describe(error)
            if name in self.errors or settings.memory_only:  # only now does the error let go of the network
                self.drop(name)

    def _add(self, name: str, settings: argparse.Namespace, batch: tuple[Tensor, Tensor]) -> None:
        network = options.network(settings, name.removesuffix(GRAPH))
        captured = name.endswith(GRAPH)
        step = TrainingStep(network, *batch, dtype=settings.dtype, compiled=settings.compile, captured=captured)
        if not captured:
            self.memory[name] = step.backward_memory()
        self.steps[name] = step

    def step(self, name: str) -> None:
        """One step of a variant; found by name, so that nothing else keeps a dropped one alive."""
        self.steps[name]()

    def drop(self, name: str) -> None:
        """Forget a variant that failed, and give back what it held."""
        self.steps.pop(name, None)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def rows(self, samples: Samples) -> list[dict[str, Any]]:
        """The table."""
        errors = self.errors | samples.errors
        names = dict.fromkeys([*self.memory, *samples.seconds, *errors])
        return [
            {"variant": name, **({"error": errors[name]} if name in errors else self._measurements(name, samples))}
            for name in names
        ]

    def _measurements(self, name: str, samples: Samples) -> dict[str, Any]:
        reference, own = self.memory.get(BATCH_NORM), self.memory.get(name)
        memory = {
            "memory, MB": own and rounded(own / 1e6),
            "memory to batch norm": rounded(own / reference) if own and reference else None,
        }
        if name not in samples.seconds:
            return memory
        loss = float(self.steps[name].loss)
        return {
            **columns("seconds", samples.seconds[name]),
            **columns("to batch norm", samples.ratios(name, BATCH_NORM)),
            **columns("to no norm", samples.ratios(name, NONE)),
            **memory,
            "loss": rounded(loss) if math.isfinite(loss) else str(loss),
        }


def measure(settings: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Build, measure memory, time, profile."""
    candidates = Candidates(settings, device)
    actions = {name: functools.partial(candidates.step, name) for name in candidates.steps}
    samples = options.timed(settings, actions, device, repeat=settings.steps, on_error=candidates.drop)
    profiled = profiles.by_kind({name: step for name, step in candidates.steps.items() if name in settings.profile})
    port = settings.dtype == "bfloat16" and PUBLISHED in settings.variants
    how = f"{settings.dtype}, {settings.device}{', compiled' if settings.compile else ''}"
    return {
        "name": f"{MEMORY_ONLY if settings.memory_only else TIMED}: {options.network_label(settings)}, {how}",
        "config": {
            "memory format": "channels_last",
            "optimizer": f"SGD, lr {LR:g}, momentum {MOMENTUM:g}, weight decay {WEIGHT_DECAY:g}",
            "variants": {name: VARIANTS[name] for name in settings.variants},
        },
        "rows": candidates.rows(samples),
        "note": " ".join([MEMORY[settings.device], *([PORT] if port else [])]),
        "parts": [{"name": PROFILE, "rows": profiled}] if profiled else [],
    }


def results_file(settings: argparse.Namespace) -> Path:
    """Where the table goes."""
    kind = "memory" if settings.memory_only else "training-step"
    compiled = ["compiled"] if settings.compile else []
    return options.output(settings, kind, options.network_label(settings), *compiled)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print, write."""
    options.main("training_step", arguments, parse, measure, results_file)


if __name__ == "__main__":
    main()
