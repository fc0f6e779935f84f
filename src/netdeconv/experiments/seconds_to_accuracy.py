"""Seconds to the accuracy of a searched batch norm: VGG-11 and ResNet-18 on CIFAR-10, whole and a quarter wide.

1. Batch norm's and every candidate's learning rate and weight decay are searched, as many pairs for each, in two epochs
   on 5000 images cut from the training set.
2. Batch norm is trained with the best pair on all images, 5 epochs; its mean test accuracy over the seeds is the goal,
   its seconds the unit.
3. Each candidate is trained with its best pair for 2 epochs, then more, each time with a schedule of its own that ends
   there, until its mean test accuracy reaches the goal or its seconds batch norm's.

Seeds that were not asked for do not count: rows ``'*search*'``, and then ``'*seed 0'``, are a table of one seed.

Command:  netdeconv reproduce seconds-to-accuracy-vgg11 --data-dir DIR --export results/seconds-to-accuracy-vgg11.json
Source:   this project.
Hardware: two cores; nothing else may run beside the final runs.
Minutes:  40 for VGG-11 and one candidate, one seed, on two cores that are fast at bfloat16; 43 for the quarter, three.
Expected: at most half of batch norm's seconds is the aim; the default needed 0.75 of them (VGG-11, one seed) and 0.86
          (a quarter as wide, two seeds); with ResNet-18 about 0.98, and in 0.72 it had 84.60 % of 85.05 % (one seed).
Spread:   see the export, over seeds.
Status:   measured here: results/seconds-to-accuracy-vgg11.json, -resnet18.json, -vgg11-quarter.json, and in part
          -resnet18-quarter.json.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from netdeconv.experiments.running.experiment import ExperimentRow, Reproduced, Rows, best_of
from netdeconv.experiments.running.families import NAMES, SEEDS, cifar, finals, over_seeds, searched, with_rates

BASELINE, EPOCHS, FIRST, CUT = "batch norm", 5, 2, 5000
CANDIDATES = ("default", "full 16")
WEIGHT_DECAYS, LRS = (1e-3, 5e-3), (0.1, 0.05, 0.03)


@dataclasses.dataclass(frozen=True)
class Network:
    """What is trained, images of its searches (all that are left would take ResNet-18 a day), batch norm's rates."""

    arch: str
    width: float
    images: int
    lrs: tuple[float, ...] = (0.03, 0.02, 0.01)


NETWORKS = {
    "vgg11": Network("vgg11", 1.0, 30000),
    "resnet18": Network("resnet18", 1.0, 12000),
    "vgg11-quarter": Network("vgg11", 0.25, 12000, lrs=(0.02, 0.01, 0.005)),
    "resnet18-quarter": Network("resnet18", 0.25, 12000, lrs=(0.05, 0.02, 0.01)),
}


def rows(network: Network) -> Rows:
    """Return the searches' runs by label."""
    found: dict[str, ExperimentRow] = {}
    for name in (BASELINE, *CANDIDATES):
        config = cifar(network.arch, 2, norm=NAMES[name], width=network.width, images=network.images, cut=CUT)
        found |= searched(config, f"{name}, search", network.lrs if name == BASELINE else LRS, WEIGHT_DECAYS)
    return found


def then(network: Network, found: Mapping[str, Reproduced]) -> dict[str, ExperimentRow]:
    """Return batch norm's final runs; and when they are there, those of the candidates, one epoch more each time."""
    more = _finals(network, BASELINE, EPOCHS, found)
    goal = _result(found, BASELINE, EPOCHS)
    if goal is None:
        return more
    for name in CANDIDATES:
        for epochs in range(FIRST, EPOCHS + 1):
            more |= _finals(network, name, epochs, found)
            result = _result(found, name, epochs)
            if result is None or result[0] >= goal[0] or result[1] >= goal[1]:
                break
    return more


def summary(runs: Sequence[Reproduced]) -> list[dict[str, Any]]:
    """One line for each candidate: its last number of epochs."""
    found = {run.label: run for run in runs}
    goal = _result(found, BASELINE, EPOCHS)
    lines = []
    for name in (BASELINE, *CANDIDATES):
        epochs = [count for count in range(1, EPOCHS + 1) if _result(found, name, count)]
        result, best = _result(found, name, epochs[-1]) if epochs else None, best_of(found, f"{name}, search")
        if result is None or goal is None or best is None:
            continue
        lines.append(
            {
                "variant": name,
                "lr": best.optimizer.lr,
                "weight decay": best.optimizer.weight_decay,
                "epochs": epochs[-1],
                **over_seeds(_own(found, name, epochs[-1]), "test accuracy"),
                "seconds": round(result[1], 1),
                "seconds to batch norm": round(result[1] / goal[1], 3) if result[0] >= goal[0] else None,
            }
        )
    return lines


def _finals(network: Network, name: str, epochs: int, found: Mapping[str, Reproduced]) -> dict[str, ExperimentRow]:
    best = best_of(found, f"{name}, search")
    if best is None:
        return {}
    base = cifar(network.arch, epochs, norm=NAMES[name], width=network.width)
    base = with_rates(base, best.optimizer.lr, best.optimizer.weight_decay)
    return finals(base, f"{name}, {epochs} epochs")


def _result(found: Mapping[str, Reproduced], name: str, epochs: int) -> tuple[float, float] | None:
    """Mean accuracy (of a run that diverged 0) and seconds over batch norm's seeds; ``None`` while one is missing."""
    own, needed = _own(found, name, epochs), len(_own(found, BASELINE, EPOCHS))
    if not needed or len(own) < needed:
        return None
    accuracy = sum(0.0 if run.failure else run.score or 0.0 for run in own) / len(own)
    return accuracy, sum(run.seconds for run in own) / len(own)


def _own(found: Mapping[str, Reproduced], name: str, epochs: int) -> list[Reproduced]:
    runs = [found.get(f"{name}, {epochs} epochs, seed {seed}") for seed in SEEDS]
    return [run for run in runs if run is not None and (run.failure or run.is_finished)]


ROWS = {f"seconds-to-accuracy-{name}": functools.partial(rows, own) for name, own in NETWORKS.items()}
THEN = {f"seconds-to-accuracy-{name}": functools.partial(then, own) for name, own in NETWORKS.items()}
