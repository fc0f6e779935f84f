"""Every network with every normalisation learns two steps and folds: ``python -m benchmarks.every_network``.

The networks of ``netdeconv list archs`` at full width, built and converted as the training program does it, on random
images of 32x32: two steps in float32, two in bfloat16, then the folded network's outputs beside the trained one's.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

import netdeconv as nd
from benchmarks import environment, tables
from netdeconv import models
from netdeconv.models import NORMALISATIONS, NormConfig
from netdeconv.training import NetworkConfig, build_network

CLASSES, BATCH, STEPS, LR = 10, 8, 2, 0.01


class Images(NamedTuple):
    """What a network needs to know of a data set."""

    shape: tuple[int, int, int]
    num_classes: int = CLASSES


def check(arch: str, variant: str, *, width: float = 1.0, size: int = 32) -> dict[str, Any]:
    """Build, train two steps in either precision, fold; return losses and the folded network's largest difference.

    The difference is relative to the largest output, in float32 and evaluation mode.
    """
    torch.manual_seed(0)
    config = NetworkConfig(arch=arch, width=width, norm=NormConfig(name=variant))
    network = build_network(config, Images((3, size, size))).to(memory_format=torch.channels_last)
    images = torch.randn(BATCH, 3, size, size).to(memory_format=torch.channels_last)
    labels = torch.arange(BATCH) % CLASSES
    optimizer = torch.optim.SGD(network.parameters(), LR)
    row: dict[str, Any] = {"network": arch, "variant": variant}
    for name, enabled in (("float32", False), ("bfloat16", True)):
        losses = []
        for _ in range(STEPS):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
                outputs = network(images)
            loss = nn.functional.cross_entropy(outputs.float(), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            losses.append(float(loss.detach()))
        row[f"losses, {name}"] = [round(value, 4) for value in losses]
        row["finite"] = row.get("finite", True) and all(map(math.isfinite, losses))
    if config.norm.whitens:
        network.eval()
        with torch.no_grad():
            expected, found = network(images), nd.fold(network)(images)
        row["folded, difference"] = float((found - expected).abs().max() / expected.abs().max())
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    """Check all, and write the table."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.every_network", description=__doc__)
    parser.add_argument("--archs", nargs="+", default=models.list_names())
    parser.add_argument("--variants", nargs="+", default=["batch_norm", "default", "paper"], choices=NORMALISATIONS)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--output", type=Path, default=Path("results/checks/every-network.json"))
    options = parser.parse_args(given)
    begun, rows = time.perf_counter(), []
    device = environment.prepare("cpu", options.threads)
    for arch in options.archs:
        for variant in options.variants:
            rows.append(check(arch, variant))
            print(rows[-1], flush=True)
    table = tables.build(
        "Every network with every normalisation: two steps in either precision, folded",
        command=environment.command("every_network", given),
        config={"batch_size": BATCH, "size": 32, "classes": CLASSES, "lr": LR, "clip_norm": 1.0},
        seed=0,
        device=device,
        begun=begun,
        rows=rows,
        note="The difference is of the folded network's outputs, relative to the largest, in float32.",
    )
    tables.write(table, options.output)


if __name__ == "__main__":
    main()
