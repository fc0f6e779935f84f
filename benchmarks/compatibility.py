"""Other libraries' networks, converted: ``python -m benchmarks.compatibility``.

Each network has random weights and sees 64 images of CIFAR-10, enlarged, in four batches of 16, again and again: as its
library builds it, and converted with nothing set; SGD, rate 0.01, momentum 0.9. Beside the losses, a row says how an
evaluation after two steps comes out, and what folding and a calibrated conversion change. A network runs in a process
of its own; one that fails or hangs is a row with the error. An output that exists is gone on with.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.compatibility_check import BATCH, BATCHES, LR, MOMENTUM, Check, images_and_labels
from benchmarks.compatibility_networks import NAMES
from benchmarks.harness import environment, tables

# A process that waits may take so many times its seconds.
_WALL = 20


def _child(name: str, images: Tensor, labels: Tensor, options: argparse.Namespace, results: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (options.limit, options.limit + 5))
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    row: dict[str, Any] = {"network": name}
    try:
        check = Check(name, images, labels, options.steps, options.lr, options.num_iterations)
        row = check.row
        row = check.run()
    except Exception as error:  # the row says what a user would see
        row["error"] = f"{type(error).__name__}: {error}"[:400]
        if os.environ.get("COMPATIBILITY_TRACEBACK"):
            import traceback

            traceback.print_exc()
    results.send(row)


def check(name: str, images: Tensor, labels: Tensor, options: argparse.Namespace) -> dict[str, Any]:
    """One network in a process of its own, forked so that it need not import everything again."""
    context, limit = multiprocessing.get_context("fork"), options.limit
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(name, images, labels, options, sending), daemon=True)
    process.start()
    sending.close()
    try:
        if not receiving.poll(_WALL * limit):
            return {"network": name, "error": f"no result after {_WALL * limit} seconds"}
        row: dict[str, Any] = receiving.recv()
        return row
    except EOFError:
        process.join(10)
        slow = process.exitcode == -signal.SIGXCPU
        died = f"its process died with status {process.exitcode}"
        return {"network": name, "error": f"no result after {limit} seconds of the processor" if slow else died}
    finally:
        process.kill()
        process.join()


def main(arguments: Sequence[str] | None = None) -> None:
    """Check all that are asked for and not yet in the output."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compatibility", description=__doc__)
    parser.add_argument("--names", nargs="+", default=NAMES, help="library/network")
    parser.add_argument("--again", nargs="*", default=None, help="run these again")
    parser.add_argument("--merge", nargs="*", type=Path, default=[], help="files of other runs, whose rows come along")
    parser.add_argument(
        "--steps",
        type=int,
        default=20,
        help="a fourth for networks of more than 0.4 GFLOP an image or 30 million weights",
    )
    parser.add_argument(
        "--further", type=int, default=0, help="images that `recalibrate` sees beside those of training"
    )
    parser.add_argument("--lr", type=float, default=LR)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--num-iterations", type=int, default=None, help="steps of all layers' inverse roots")
    parser.add_argument("--limit", type=int, default=120, help="seconds of the processor for a network")
    parser.add_argument("--output", type=Path, default=Path("results/checks/compatibility.json"))
    options = parser.parse_args(given)
    begun = time.perf_counter()
    device = environment.prepare("cpu", 1)
    images, labels = images_and_labels(Path(os.environ.get("NETDECONV_DATA", "data")), options.further)
    images = images.to(getattr(torch, options.dtype))
    if any(name.startswith("timm/") for name in options.names):
        with contextlib.suppress(ImportError):
            import timm  # noqa: F401 (once, before the processes are forked)
    files = [json.loads(file.read_text()) for file in (options.output, *options.merge) if file.exists()]
    known = {row["network"]: row for file in reversed(files) for row in file["rows"]}
    before = sum(file["minutes"] for file in files)
    missing = [name for name in options.names if name not in known or name in (options.again or ())]
    for name in missing:
        known[name] = check(name, images, labels, options)
        print(known[name], flush=True)
        _write(options, known, device, begun - 60 * before)
    if options.merge:
        _write(options, known, device, begun - 60 * before)


def _write(options: argparse.Namespace, known: dict[str, dict[str, Any]], device: torch.device, begun: float) -> None:
    usual = {"further": 0, "lr": LR, "dtype": "float32", "num_iterations": None}
    changed = "".join(
        f" --{key.replace('_', '-')} {own}" for key, value in usual.items() if (own := getattr(options, key)) != value
    )
    table = tables.build(
        "Other libraries' networks",
        command=f"python -m benchmarks.compatibility --steps {options.steps}{changed}",
        config={"batch_size": BATCH, "images": BATCH * BATCHES, "lr": options.lr, "momentum": MOMENTUM},
        seed=0,
        device=device,
        begun=begun,
        rows=[known[name] for name in NAMES if name in known] + [r for n, r in known.items() if n not in NAMES],
    )
    tables.write(table, options.output)


if __name__ == "__main__":
    main()
