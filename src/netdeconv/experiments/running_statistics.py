"""Which statistics evaluate best, epoch by epoch: running averages, recalibrated ones, or each batch's own.

A quarter-width VGG-11 learns for three epochs, batch 64, from 3000 images of CIFAR-10 or 1000 digits, three seeds.
Recalibrated: the average over 16 training batches with the weights held, which is what the training program does before
every evaluation. Batch norm is treated alike, at the rate that suits it.

Command:  netdeconv reproduce running-statistics --data-dir DIR --export results/running-statistics.json
Source:   this project.
Hardware: one core.
Minutes:  about a quarter for each run on a fast core.
Expected: running averages lag behind after the first epoch; the default's recalibrated ones are within half a point of
          the batch's.
Spread:   about two points after the first epoch, over three seeds.
Status:   measured here: results/running-statistics.json.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from netdeconv.experiments.running.experiment import ExperimentRow, Reproduced
from netdeconv.experiments.running.families import NAMES, cifar, mean

SEEDS, EPOCHS = (0, 1, 2), 3
# Images to train on, and to evaluate on, both cut from the training set.
IMAGES = {"digits": (1000, 297), "cifar10": (3000, 10000)}
RATES = {"batch norm": 0.01, "default": 0.1, "full 16": 0.1}
KINDS = {"recalibrated": "accuracy", "running": "accuracy_running_statistics", "batch": "accuracy_batch_statistics"}


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    found = {}
    for seed in SEEDS:
        for dataset, (images, cut) in IMAGES.items():
            for name, lr in RATES.items():
                sizes: dict[str, Any] = {"width": 0.25, "batch_size": 64, "images": images, "cut": cut}
                config = cifar("vgg11", EPOCHS, dataset=dataset, norm=NAMES[name], lr=lr, seed=seed, **sizes)
                config = dataclasses.replace(config, evaluate_all_statistics=True)
                found[f"{dataset}, {name}, seed {seed}"] = ExperimentRow(config=config)
    return found


def summary(runs: Sequence[Reproduced]) -> list[dict[str, Any]]:
    """One line for each normalisation and kind of statistics: mean accuracy over the seeds after every epoch."""
    lines = []
    for dataset in IMAGES:
        for name in RATES:
            own = [run for run in runs if run.label.startswith(f"{dataset}, {name}, ") and run.is_finished]
            for kind, key in KINDS.items() if own else ():
                after = {
                    f"after epoch {epoch}": mean([run.history[epoch - 1][key] for run in own])
                    for epoch in range(1, EPOCHS + 1)
                }
                line = {"data": dataset, "normalisation": name, "statistics": kind, **after, "seeds": len(own)}
                lines.append(line)
    return lines
