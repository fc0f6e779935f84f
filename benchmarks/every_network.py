"""Every network with every normalisation learns two steps and folds: ``python -m benchmarks.every_network``.

The networks of ``netdeconv list archs`` at full width, built and converted as the training program does it, on random
images of 32x32: two steps in float32, two in bfloat16, then the folded network's outputs beside the trained one's.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

import netdeconv as nd
from benchmarks.harness import options, tables
from benchmarks.harness.variants import build_network
from netdeconv import models
from netdeconv.nn import WhitenedLayer

CLASSES, BATCH, STEPS, LR = 10, 8, 2, 0.01


def check(
    arch: str, variant: str, *, width: float = 1.0, size: int = 32, precisions: Sequence[str] = ("float32", "bfloat16")
) -> dict[str, Any]:
    """Build, train two steps in each precision, fold; return losses and the folded network's largest difference.

    The difference is relative to the largest output, in float32 and evaluation mode.
    """
    network = build_network(arch, variant, num_classes=CLASSES, image_size=size, width=width)
    network.to(memory_format=torch.channels_last)
    images = torch.randn(BATCH, 3, size, size).to(memory_format=torch.channels_last)
    labels = torch.arange(BATCH) % CLASSES
    optimizer = torch.optim.SGD(network.parameters(), LR)
    row: dict[str, Any] = {"network": arch, "variant": variant}
    for name in precisions:
        losses = []
        for _ in range(STEPS):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=name == "bfloat16"):
                outputs = network(images)
            loss = nn.functional.cross_entropy(outputs.float(), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            losses.append(float(loss.detach()))
        row[f"losses, {name}"] = [round(value, 4) for value in losses]
        row["finite"] = row.get("finite", True) and all(map(math.isfinite, losses))
    if any(isinstance(module, WhitenedLayer) for module in network.modules()):
        network.eval()
        with torch.no_grad():
            expected, found = network(images), nd.fold(network)(images)
        row["folded, difference"] = float((found - expected).abs().max() / expected.abs().max())
    return row


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, checked."""
    parser = options.parser("every_network", __doc__, variants=("batch_norm", "default", "paper"))
    parser.add_argument("--archs", nargs="+", default=models.list_names())
    return options.parse(parser, arguments)


def measure(settings: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Check all."""
    rows = []
    for arch in settings.archs:
        for variant in settings.variants:
            rows.append(check(arch, variant))
            print(rows[-1], flush=True)
    return {
        "name": "Every network with every normalisation: two steps in either precision, folded",
        "config": {"batch_size": BATCH, "size": 32, "classes": CLASSES, "lr": LR, "clip_norm": 1.0},
        "rows": rows,
        "note": "The difference is of the folded network's outputs, relative to the largest, in float32.",
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Check all, and write the table."""
    file = tables.FOLDER.parent / "checks" / "every-network.json"
    options.main("every_network", arguments, parse, measure, lambda settings: settings.output or file)


if __name__ == "__main__":
    main()
