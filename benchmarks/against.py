"""Steps of two checkouts in turn: ``python -m benchmarks.against --other SRC``.

Each checkout's package trains the same networks in a process of its own; the processes take turns step by step, so
that a drift of the machine's speed meets both. ``SRC`` is the ``src`` folder of the other checkout, such as one
made by ``git worktree add ../other COMMIT``. Memory is what autograd keeps for the backward pass: each storage once,
without parameters and the batch.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import options, tables

HERE = tables.REPOSITORY / "src"
VARIANTS = ("batch_norm", "default", "full16", "paper")
# The variants are spelt out: in an older checkout a setting of the same name means another. The paper's stem is short.
WORKER = """
import sys, time, torch, netdeconv as nd
from netdeconv import models
arch, batch, dtype, threads = sys.argv[1], int(sys.argv[2]), getattr(torch, sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(threads); torch.set_flush_denormal(True)
linear, stem = nd.Whitening(group_size=512), nd.Whitening(rows_per_feature=16)
settings = {
    "default": nd.Whitening(structure="channel", rows_per_feature=16),
    "full16": nd.Whitening(group_size=16, rows_per_feature=16),
    "paper": nd.Whitening(group_size=64),
}
def build(variant):
    torch.manual_seed(0)
    network = models.build(arch, num_classes=10, in_channels=3)
    if variant in settings:
        network = nd.convert(network, settings[variant], stem=stem, linear=linear)
    return network.to(memory_format=torch.channels_last)
images = torch.randn(batch, 3, 32, 32).to(memory_format=torch.channels_last)
labels = torch.randint(10, (batch,))
nets, kept = {}, {}
def keep(tensor):
    kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
    return tensor
def forward(net):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        return torch.nn.functional.cross_entropy(net(images).float(), labels)
def memory(net):
    kept.clear()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = forward(net)
    for own in (images, labels, *net.parameters()):
        kept.pop(own.untyped_storage().data_ptr(), None)
    return sum(kept.values()) / 2**20
for line in sys.stdin:
    variant = line.strip()
    if variant not in nets:
        nets[variant] = build(variant)
        nets[variant, "memory"] = memory(nets[variant])
    net = nets[variant]
    begun = time.perf_counter()
    forward(net).backward()
    for parameter in net.parameters():
        parameter.grad = None
    print(time.perf_counter() - begun, nets[variant, "memory"], flush=True)
"""


class Trainer:
    """A process that trains with one checkout's package, a step whenever it is told to."""

    def __init__(self, source: Path, settings: Sequence[str]) -> None:
        environ = {**os.environ, "PYTHONPATH": str(source)}
        command = [sys.executable, "-c", WORKER, *settings]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environ)

    def step(self, variant: str) -> tuple[float, float]:
        """Seconds of one step, and the MiB that its forward pass keeps."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{variant}\n")
        self.process.stdin.flush()
        seconds, memory = self.process.stdout.readline().split()
        return float(seconds), float(memory)

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def compare(sources: dict[str, Path], settings: argparse.Namespace, arch: str) -> list[dict[str, Any]]:
    """Median seconds of a step, and memory, of every variant in every checkout."""
    worker = [arch, str(settings.batch_size), settings.dtype, str(settings.threads or torch.get_num_threads())]
    seconds: dict[tuple[str, str], list[float]] = {}
    memory: dict[tuple[str, str], float] = {}
    trainers = {name: Trainer(source, worker) for name, source in sources.items()}
    for number in range(settings.warmup + settings.rounds):
        for variant in settings.variants:
            for name, trainer in trainers.items():
                taken, memory[name, variant] = trainer.step(variant)
                if number >= settings.warmup:  # the first allocates
                    seconds.setdefault((name, variant), []).append(taken)
    for trainer in trainers.values():
        trainer.close()
    rows = [
        {"checkout": name, "variant": variant, "ms": 1e3 * statistics.median(taken), "MiB": memory[name, variant]}
        for (name, variant), taken in seconds.items()
    ]
    base = {row["checkout"]: row for row in rows if row["variant"] == VARIANTS[0]}
    ratios = {"step / batch norm": "ms", "memory / batch norm": "MiB"}
    for row in rows:
        own = base.get(row["checkout"])
        row |= {ratio: own and round(row[key] / own[key], 3) for ratio, key in ratios.items()}
    return [
        {"network": arch, "dtype": settings.dtype, **row, "ms": round(row["ms"], 1), "MiB": round(row["MiB"])}
        for row in rows
    ]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = options.parser("against", __doc__, rounds=7, warmup=1, variants=VARIANTS)
    parser.add_argument("--other", type=Path, required=True, help="src of the other checkout")
    parser.add_argument("--commit", default="other", help="what the other checkout is called in the table")
    parser.add_argument("--arch", nargs="+", default=["vgg11", "resnet18"])
    parser.add_argument("--batch-size", type=int, default=128)
    return options.parse(parser, arguments)


def measure(settings: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """All networks."""
    sources = {settings.commit: settings.other, "here": HERE}
    return {
        "name": f"Training steps of this checkout and of {settings.commit}, in turn: {settings.dtype}",
        "rows": [row for arch in settings.arch for row in compare(sources, settings, arch)],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, write."""
    options.main("against", arguments, parse, measure, lambda s: options.output(s, "against"))


if __name__ == "__main__":
    main()
