"""Steps of two checkouts in turn: ``python -m benchmarks.against OTHER_SRC``.

Each checkout's package trains the same networks in a process of its own; the processes take turns step by step, so
that a drift of the machine's speed meets both. ``OTHER_SRC`` is the ``src`` folder of the other checkout, such as one
made by ``git worktree add ../other COMMIT``. Memory is the largest resident size of a process that trains one variant.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import environment

OUTPUT = Path("results/benchmarks")
HERE = Path(__file__).resolve().parent.parent / "src"
VARIANTS = ("batch norm", "channel", "full16", "full64")
WORKER = """
import resource, sys, time, torch, netdeconv as nd
from netdeconv import models
arch, batch, dtype, threads = sys.argv[1], int(sys.argv[2]), getattr(torch, sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(threads); torch.set_flush_denormal(True)
linear = nd.Whitening(group_size=512)
def build(variant):
    torch.manual_seed(0)
    plain = models.build(arch, num_classes=10, in_channels=3)
    few = {"rows_per_feature": 16}
    settings = {
        "channel": nd.Whitening(structure="channel", **few),
        "full16": nd.Whitening(group_size=16, **few),
        "full64": nd.Whitening(group_size=64),
    }
    if variant != "batch norm":
        plain = nd.convert(plain, settings[variant], stem=nd.Whitening(**few), linear=linear)
    return plain.to(memory_format=torch.channels_last)
images = torch.randn(batch, 3, 32, 32).to(memory_format=torch.channels_last)
labels = torch.randint(10, (batch,))
nets = {}
for line in sys.stdin:
    variant = line.strip()
    net = nets.get(variant) or nets.setdefault(variant, build(variant))
    begun = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        outputs = net(images)
    torch.nn.functional.cross_entropy(outputs.float(), labels).backward()
    for parameter in net.parameters():
        parameter.grad = None
    print(time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)
"""


class Trainer:
    """A process that trains with one checkout's package, a step whenever it is told to."""

    def __init__(self, source: Path, settings: Sequence[str]) -> None:
        environ = {**os.environ, "PYTHONPATH": str(source)}
        command = [sys.executable, "-c", WORKER, *settings]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environ)

    def step(self, variant: str) -> tuple[float, float]:
        """Seconds of one step, and the largest resident size so far in MiB."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{variant}\n")
        self.process.stdin.flush()
        seconds, memory = self.process.stdout.readline().split()
        return float(seconds), float(memory)

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def compare(sources: dict[str, Path], settings: Sequence[str], steps: int) -> list[dict[str, Any]]:
    """Median seconds of a step, and memory, of every variant in every checkout."""
    seconds: dict[tuple[str, str], list[float]] = {}
    trainers = {name: Trainer(source, settings) for name, source in sources.items()}
    for number in range(steps + 1):
        for variant in VARIANTS:
            for name, trainer in trainers.items():
                taken, _ = trainer.step(variant)
                if number:  # the first allocates
                    seconds.setdefault((name, variant), []).append(taken)
    for trainer in trainers.values():
        trainer.close()
    rows = []
    for (name, variant), taken in seconds.items():
        alone = Trainer(sources[name], settings)
        memory = max(alone.step(variant)[1] for _ in range(2))
        alone.close()
        rows.append({"checkout": name, "variant": variant, "ms": 1e3 * statistics.median(taken), "MiB": memory})
    for row in rows:
        base = next(other for other in rows if (other["checkout"], other["variant"]) == (row["checkout"], VARIANTS[0]))
        row["step / batch norm"] = round(row["ms"] / base["ms"], 3)
        row["memory / batch norm"] = round(row["MiB"] / base["MiB"], 3)
        row["ms"], row["MiB"] = round(row["ms"], 1), round(row["MiB"])
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("other", type=Path, help="src of the other checkout")
    parser.add_argument("--commit", default="other", help="what the other checkout is called in the table")
    parser.add_argument("--arch", nargs="+", default=["vgg11", "resnet18"])
    parser.add_argument("--dtype", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    typed = sys.argv[1:] if arguments is None else list(arguments)
    options = parser.parse_args(typed)
    rows, begun = [], time.perf_counter()
    for arch in options.arch:
        for dtype in options.dtype:
            settings = [arch, str(options.batch_size), dtype, str(options.threads)]
            found = compare({options.commit: options.other, "here": HERE}, settings, options.steps)
            rows += [{"network": arch, "dtype": dtype, **row} for row in found]
            print(*rows[-len(found) :], sep="\n", flush=True)
    table = {
        "name": f"Training steps of this checkout and of {options.commit}, in turn",
        "command": f"python -m benchmarks.against OTHER --commit {options.commit}",
        "config": {"batch_size": options.batch_size, "steps": options.steps},
        "seed": 0,
        "versions": environment.versions(),
        "hardware": environment.hardware(torch.device("cpu")),
        "minutes": round((time.perf_counter() - begun) / 60, 1),
        "rows": rows,
    }
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "against.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
