"""What keeping freed memory saves: ``python -m benchmarks.allocator``.

Two processes of the same network take turns, one as torch leaves it, one inside
``netdeconv.training.allocator.kept_memory``; each turn is a few training steps.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch

from benchmarks.harness import environment, options
from benchmarks.harness.steps import TrainingStep, random_batch
from benchmarks.harness.timing import columns, rounded
from netdeconv.training.allocator import kept_memory

USUAL, KEPT = "as torch leaves it", "kept"
STEPS = 3


class Process:
    """A process that trains when it is told to.

    Args:
        settings: the options of this measurement.
        variant: of the network.
        keep: whether the process keeps freed memory.
    """

    def __init__(self, settings: argparse.Namespace, variant: str, *, keep: bool) -> None:
        context = get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_train, args=(other, settings, variant, keep), daemon=True)
        self._process.start()
        other.close()
        self.peak = 0

    def __call__(self) -> None:
        """Take the steps of one turn; ``peak`` is the largest resident size so far, in bytes."""
        self._pipe.send(True)
        self.peak = self._pipe.recv()

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(BrokenPipeError):  # it has ended
            self._pipe.send(False)
        self._pipe.close()
        self._process.join()


def _train(pipe: Connection, settings: argparse.Namespace, variant: str, keep: bool) -> None:
    device = environment.prepare("cpu", settings.threads)
    batch = random_batch(settings.batch_size, settings.size, settings.classes, device, seed=settings.seed)
    with kept_memory() if keep else contextlib.nullcontext(), contextlib.suppress(EOFError):
        step = TrainingStep(options.network(settings, variant), *batch, dtype=settings.dtype)
        while pipe.recv():
            for _ in range(STEPS):
                step()
            pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def measure(settings: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Start the processes, time their turns."""
    kinds = [(variant, name) for variant in settings.variants for name in (USUAL, KEPT)]
    processes = {kind: Process(settings, kind[0], keep=kind[1] == KEPT) for kind in kinds}
    try:
        samples = options.timed(settings, {", ".join(kind): own for kind, own in processes.items()}, device)
    finally:
        for process in processes.values():
            process.close()
    rows = [
        {
            "variant": variant,
            "memory": name,
            **columns("seconds", [took / STEPS for took in samples.seconds[f"{variant}, {name}"]]),
            **columns("to the usual", samples.ratios(f"{variant}, {name}", f"{variant}, {USUAL}")),
            "peak of the process, GB": rounded(processes[variant, name].peak / 1e9),
        }
        for variant, name in kinds
    ]
    return {
        "name": f"Freed memory kept for the next step: {settings.arch}, {settings.dtype}, cpu",
        "config": {"steps in a sample": STEPS},
        "rows": rows,
        "note": "Every row is a process of its own; they take turns. Peak: the largest resident size.",
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, checked."""
    variants = ("batch_norm", "default", "full16")
    parser = options.parser("allocator", __doc__, rounds=7, warmup=2, variants=variants)
    options.add_network(parser)
    return options.parse(parser, arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print, write."""
    options.main(
        "allocator", arguments, parse, measure, lambda s: options.output(s, "allocator", options.network_label(s))
    )


if __name__ == "__main__":
    main()
