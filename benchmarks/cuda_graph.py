"""A whole training step captured as one CUDA graph, and its replay timed: ``python -m benchmarks.cuda_graph``.

A graph is launched at once, so small kernels no longer wait for Python. That it can be captured at all shows that a
step never waits for the device. Without a CUDA device this says so and does nothing.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks import environment, options, tables
from benchmarks.steps import TrainingStep, random_batch
from benchmarks.timing import columns, describe, interleave, rounded
from benchmarks.variants import BATCH_NORM, VARIANTS
from netdeconv.lookup import look_up

_WARMUP_STEPS = 3


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, checked."""
    parser = options.parser("cuda_graph", __doc__, rounds=20, warmup=3)
    parser.set_defaults(device="cuda")
    options.add_network(parser)
    parser.add_argument(
        "--variants", nargs="+", default=["batch_norm", "default", "paper"], metavar="NAME", help=", ".join(VARIANTS)
    )
    parser.add_argument("--steps", type=int, default=5, help="steps in a timed sample")
    parsed = parser.parse_args(arguments)
    options.resolve_network(parsed)
    for name in parsed.variants:
        look_up("variant", name, VARIANTS)
    return parsed


def capture(step: TrainingStep) -> Callable[[], None]:
    """A function that replays one training step.

    Raises:
        RuntimeError: when the step does something that cannot be captured, such as waiting for the device.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # allocates the optimiser's state, and chooses kernels
        for _ in range(_WARMUP_STEPS):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    step.optimizer.zero_grad(set_to_none=True)  # gradients are to live in the graph's own memory
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def measure(settings: argparse.Namespace, command: str) -> dict[str, Any]:
    """Capture and time; return the table."""
    begun = time.perf_counter()
    device = environment.prepare(settings.device, settings.threads)
    batch = random_batch(settings.batch_size, settings.size, settings.classes, device, seed=settings.seed)
    actions: dict[str, Callable[[], object]] = {}
    steps: dict[str, TrainingStep] = {}
    errors: dict[str, str] = {}
    for name in settings.variants:
        for captured in (False, True):
            label = f"{name}, graph" if captured else name
            try:
                network = options.network(settings, name)
                step = TrainingStep(network, *batch, dtype=settings.dtype, autocast_cache=not captured)
                actions[label] = capture(step) if captured else step
                steps[label] = step
            except Exception as error:  # a row of the table
                errors[label] = describe(error)
    samples = interleave(
        actions,
        rounds=settings.rounds,
        warmup=settings.warmup,
        repeat=settings.steps,
        seed=settings.seed,
        synchronize=environment.synchronizer(device),
    )
    errors |= samples.errors
    rows = [
        {"step": label, "error": errors[label]}
        if label in errors
        else {
            "step": label,
            **columns("seconds", samples.seconds[label]),
            **columns("to batch norm", samples.ratios(label, BATCH_NORM)),
            **columns("to batch norm, graph", samples.ratios(label, f"{BATCH_NORM}, graph")),
            "finite": math.isfinite(float(steps[label].loss)),
            "loss": rounded(float(steps[label].loss)),
        }
        for label in dict.fromkeys([*actions, *errors])
    ]
    named = ("arch", "imagenet", "batch_size", "size", "classes", "dtype", "device", "rounds", "warmup", "steps")
    return tables.build(
        f"Captured training step: {options.network_label(settings)}, {settings.dtype}, {settings.device}",
        command=command,
        config={name: getattr(settings, name) for name in named} | {"memory format": "channels_last"},
        seed=settings.seed,
        device=device,
        begun=begun,
        rows=rows,
        note="A graph replays zero_grad, forward, backward and the optimiser's step, without Python in between.",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print, write; or say that there is no CUDA device."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    settings = parse(given)
    if not torch.cuda.is_available():
        print("no CUDA here")
        return
    table = measure(settings, environment.command("cuda_graph", given))
    tables.show(table)
    tables.write(table, options.output(settings, "cuda-graph", options.network_label(settings)))


if __name__ == "__main__":
    main()
