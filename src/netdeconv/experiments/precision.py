"""Does rounding cost accuracy? Training in float32 and under bfloat16 autocast: a half-width VGG-11, CIFAR-10.

One epoch on 15000 images, three seeds, 5000 other images cut from the training set. Under autocast the covariance and
the product with the weight have bfloat16 factors; the inverse root is float32 always.

Command:  netdeconv reproduce precision --data-dir DIR --export results/precision.json
Source:   this project. What rounding does to the matrices themselves: python -m benchmarks.precision.
Hardware: two cores that are fast at bfloat16.
Minutes:  10.
Expected: no difference beyond the spread.
Spread:   about one point, over three seeds.
Status:   not run here in this form; an earlier one, which also rounded the root's products, is in docs/tried.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

from netdeconv.experiments.running.experiment import ExperimentRow, Reproduced
from netdeconv.experiments.running.families import NAMES, cifar, mean, spread

SEEDS = (0, 1, 2)
RATES = {"batch norm": 0.02, "default": 0.1, "full 16": 0.1}
PRECISIONS: dict[str, Literal["32-true", "bf16-mixed"]] = {"float32": "32-true", "bfloat16": "bf16-mixed"}


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    return {
        f"{name}, {kind}, seed {seed}": ExperimentRow(
            config=dataclasses.replace(
                cifar("vgg11", 1, norm=NAMES[name], width=0.5, images=15000, cut=5000, lr=lr, seed=seed),
                precision=precision,
            )
        )
        for seed in SEEDS
        for name, lr in RATES.items()
        for kind, precision in PRECISIONS.items()
    }


def summary(runs: Sequence[Reproduced]) -> list[dict[str, Any]]:
    """One line for each normalisation, mean and spread at either precision."""
    lines = []
    for name in RATES:
        line: dict[str, Any] = {"normalisation": name}
        for kind in PRECISIONS:
            scores = [run.score or 0.0 for run in runs if run.label.startswith(f"{name}, {kind}, ")]
            line |= {f"{kind}, %": mean(scores), f"{kind}, spread": spread(scores), f"{kind}, seeds": len(scores)}
        lines.append(line)
    return lines
