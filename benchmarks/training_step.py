"""Seconds and memory of a training step, all variants interleaved: ``python -m benchmarks.training_step``.

A step is zero_grad, forward (channels last, under bfloat16 autocast where --dtype bfloat16), cross entropy, backward
and SGD with momentum, on one fixed batch of noise. All networks live in one process and take turns in a shuffled order;
ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import environment, options, tables
from benchmarks.profiling import profiles
from benchmarks.steps import LR, MOMENTUM, WEIGHT_DECAY, TrainingStep, random_batch
from benchmarks.timing import Samples, columns, describe, interleave, rounded
from benchmarks.variants import BATCH_NORM, NO_NORM, VARIANTS
from netdeconv.lookup import look_up

MEMORY = {
    "cpu": "Memory is what autograd keeps for backward: each storage once, without parameters, buffers and the batch.",
    "cuda": "Memory is the allocator's peak over a step, less what was allocated before it (gradients freed).",
}
PORT = (
    "Under bfloat16 autocast the published code raises an error: `published` is then a plain port, with statistics and "
    "the product of D and the weight in float32 and the convolution in bfloat16."
)
STATISTICS = "Every timed step computes the statistics of all layers, of stems with a freeze schedule, too."


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, checked."""
    parser = options.parser("training_step", __doc__, rounds=20, warmup=2)
    options.add_network(parser)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), metavar="NAME", help=", ".join(VARIANTS))
    parser.add_argument("--compile", action="store_true", help="torch.compile the networks")
    parser.add_argument("--steps", type=int, default=None, help="steps in a timed sample: 1; 5 on cuda")
    parser.add_argument("--profile", metavar="VARIANT", nargs="+", default=[], help="show where their time goes")
    parsed = parser.parse_args(arguments)
    options.resolve_network(parsed)
    parsed.variants += [name for name in parsed.profile if name not in parsed.variants]
    for name in parsed.variants:
        look_up("variant", name, VARIANTS)
    if parsed.steps is None:
        parsed.steps = 5 if parsed.device == "cuda" else 1
    return parsed


class Candidates:
    """The steps of all variants that can make one, the memory each needs, and what stopped the others."""

    def __init__(self, settings: argparse.Namespace, device: torch.device) -> None:
        self.steps: dict[str, TrainingStep] = {}
        self.memory: dict[str, int] = {}
        self.errors: dict[str, str] = {}
        batch = random_batch(settings.batch_size, settings.size, settings.classes, device, seed=settings.seed)
        for name in settings.variants:
            try:
                self._add(name, settings, batch)
            except Exception as error:  # out of memory, or what cannot be compiled, is a row of the table
                self.errors[name] = describe(error)
            if name in self.errors:  # only now does the error's traceback let go of the network
                self.drop(name)

    def _add(self, name: str, settings: argparse.Namespace, batch: tuple[Tensor, Tensor]) -> None:
        network = options.network(settings, name)
        step = TrainingStep(network, *batch, dtype=settings.dtype, compiled=settings.compile)
        self.memory[name] = step.backward_memory()
        self.steps[name] = step

    def step(self, name: str) -> None:
        """One step of a variant; found by name, so that nothing else keeps a dropped one alive."""
        self.steps[name]()

    def drop(self, name: str) -> None:
        """Forget a variant that failed, and give back what it held."""
        self.steps.pop(name, None)
        self.memory.pop(name, None)
        free_device_memory()

    def rows(self, samples: Samples) -> list[dict[str, Any]]:
        """The table."""
        errors = self.errors | samples.errors
        return [
            {"variant": name, **({"error": errors[name]} if name in errors else self._measurements(name, samples))}
            for name in dict.fromkeys([*samples.seconds, *errors])
        ]

    def _measurements(self, name: str, samples: Samples) -> dict[str, Any]:
        reference = self.memory.get(BATCH_NORM)
        return {
            **columns("seconds", samples.seconds[name]),
            **columns("to batch norm", samples.ratios(name, BATCH_NORM)),
            **columns("to no norm", samples.ratios(name, NO_NORM)),
            "memory, MB": rounded(self.memory[name] / 1e6),
            "memory to batch norm": rounded(self.memory[name] / reference) if reference else None,
            "loss": rounded(float(self.steps[name].loss)),
        }


def free_device_memory() -> None:
    """Give cached blocks back, so that the next candidate finds what a failed one held."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def measure(settings: argparse.Namespace, command: str) -> dict[str, Any]:
    """Build, measure memory, time, profile; return the table."""
    begun = time.perf_counter()
    device = environment.prepare(settings.device, settings.threads)
    candidates = Candidates(settings, device)
    samples = interleave(
        {name: functools.partial(candidates.step, name) for name in candidates.steps},
        rounds=settings.rounds,
        warmup=settings.warmup,
        repeat=settings.steps,
        seed=settings.seed,
        synchronize=environment.synchronizer(device),
        on_error=candidates.drop,
    )
    chosen = {name: candidates.steps[name] for name in settings.profile if name in candidates.steps}
    dtypes = {torch.float32, environment.DTYPES[settings.dtype]}
    parts = profiles(chosen, dtypes, device, compiled=settings.compile)
    port = settings.dtype == "bfloat16" and "published" in settings.variants
    how = f"{settings.dtype}, {settings.device}{', compiled' if settings.compile else ''}"
    return tables.build(
        f"Training step: {options.network_label(settings)}, {how}",
        command=command,
        config=_config(settings),
        seed=settings.seed,
        device=device,
        begun=begun,
        rows=candidates.rows(samples),
        note=" ".join([MEMORY[settings.device], STATISTICS, *([PORT] if port else [])]),
        parts=parts,
    )


def _config(settings: argparse.Namespace) -> dict[str, Any]:
    named = ("arch", "imagenet", "batch_size", "size", "classes", "dtype", "device", "compile", "rounds", "warmup")
    return {
        **{name: getattr(settings, name) for name in named},
        "steps in a sample": settings.steps,
        "memory format": "channels_last",
        "optimizer": f"SGD, lr {LR:g}, momentum {MOMENTUM:g}, weight decay {WEIGHT_DECAY:g}",
        "variants": {name: VARIANTS[name].description for name in settings.variants},
    }


def results_file(settings: argparse.Namespace) -> Path:
    """Where the table goes."""
    compiled = ["compiled"] if settings.compile else []
    return options.output(settings, "training-step", options.network_label(settings), *compiled)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print, write."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    settings = parse(given)
    table = measure(settings, environment.command("training_step", given))
    tables.show(table)
    tables.write(table, results_file(settings))


if __name__ == "__main__":
    main()
