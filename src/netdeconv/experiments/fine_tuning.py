"""Fine-tuning a network that was trained with batch norm: kept, converted with calibration, or whitened from scratch.

A quarter-width ResNet-18 with batch norm learns CIFAR-100 (20000 images, 6 epochs: row "pretraining"). From there it
is fine-tuned on CIFAR-10, on 5000 images for three epochs and on 1000 for five: as it is, or converted with
calibration. The third candidate is the default of whitening from its first weights. SGD with momentum 0.9, weight
decay 1e-3, cosine, batch 32. Each learning rate is chosen for each candidate on 1000 images cut from the training set
(rows "search"); the final runs are evaluated on 2000 of the test images.

Command:  netdeconv reproduce fine-tuning --data-dir DIR --export results/fine-tuning.json
Source:   this project.
Hardware: one core.
Minutes:  about 16, on a fast processor.
Expected: the converted network a point above batch norm, or even with it; from scratch 4 to 9 points below.
Spread:   see the export, over seeds.
Status:   measured here: results/fine-tuning.json.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from netdeconv.experiments.running.experiment import ExperimentRow, Reproduced, Rows, best_of
from netdeconv.experiments.running.families import cifar, finals, over_seeds, searched
from netdeconv.training.config import TrainingConfig, replaced

# The row that the others start from, where `netdeconv reproduce` leaves it.
_PRETRAINED = "runs/fine-tuning/pretraining"
RATES, DECAY, TESTED = (0.1, 0.03, 0.01), 1e-3, {"data.evaluation_size": 2000}
# By the number of images: epochs.
TARGETS = {5000: 3, 1000: 5}
# By candidate: its normalisation, and where it starts.
CANDIDATES: dict[str, tuple[str, str | None]] = {
    "batch norm, fine-tuned": ("batch_norm", _PRETRAINED),
    "whitened, fine-tuned": ("default", _PRETRAINED),
    "whitened, from scratch": ("default", None),
}


def rows() -> Rows:
    """Return the pretraining, and the searches' runs."""
    pretraining = cifar("resnet18", 6, dataset="cifar100", width=0.25, batch_size=64, images=20000, lr=0.05)
    found = {"pretraining": ExperimentRow(config=replaced(pretraining, TESTED))}
    for images in TARGETS:
        for name in CANDIDATES:
            found |= searched(_config(name, images, cut=1000), f"{name}, {images} images, search", RATES, (DECAY,))
    return found


def then(found: Mapping[str, Reproduced]) -> Rows:
    """Return the final runs, each at the rate that its search found."""
    more: dict[str, ExperimentRow] = {}
    for images in TARGETS:
        for name in CANDIDATES:
            best = best_of(found, f"{name}, {images} images, search")
            if best is not None:
                config = replaced(_config(name, images), {"optimizer": best.optimizer, **TESTED})
                more |= finals(config, f"{name}, {images} images")
    return more


def summary(runs: Sequence[Reproduced]) -> list[dict[str, Any]]:
    """One line for every candidate and number of images: the search, mean and spread over the seeds."""
    return [_line(name, images, runs) for images in TARGETS for name in CANDIDATES]


def _line(name: str, images: int, runs: Sequence[Reproduced]) -> dict[str, Any]:
    own = {run.label.removeprefix(f"{name}, {images} images, "): run for run in runs}
    searched_at = {lr: own.get(f"search lr {lr:g} wd {DECAY:g}") for lr in RATES}
    return {
        "candidate": name,
        "images": images,
        **{f"lr {lr:g}": None if run is None else round(run.score or 0.0, 1) for lr, run in searched_at.items()},
        **over_seeds([run for label, run in own.items() if label.startswith("seed")], "accuracy"),
    }


def _config(name: str, images: int, *, cut: int = 0) -> TrainingConfig:
    norm, start = CANDIDATES[name]
    config = cifar("resnet18", TARGETS[images], norm=norm, width=0.25, batch_size=32, images=images, cut=cut)
    return dataclasses.replace(config, start=start)
