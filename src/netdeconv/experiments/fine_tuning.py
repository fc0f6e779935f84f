"""Fine-tuning a network that was trained with batch norm: kept, converted with calibration, or whitened from scratch.

A quarter-width ResNet-18 with batch norm learns CIFAR-100 (10000 images, 4 epochs: row "pretraining"). From there it is
fine-tuned on CIFAR-10, on 4000 images for one epoch and on 1000 for three: as it is, or converted with calibration. The
third candidate is the default of whitening from its first weights. SGD with momentum 0.9, weight decay 1e-3, cosine,
batch 32. Each learning rate is chosen for each candidate on 1000 images cut from the training set (rows "search"); the
final runs are evaluated on 2000 of the test images.

Command:  netdeconv reproduce fine-tuning --data-dir DIR --export results/fine-tuning.json
Source:   this project.
Hardware: one core.
Minutes:  about 30.
Expected: the converted network learns at least as much as with batch norm; from scratch less.
Spread:   see the export, over seeds.
Status:   being measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from netdeconv.data import DataConfig
from netdeconv.experiments.running.experiment import ExperimentRow, Reproduced
from netdeconv.models import BATCH_NORM, NormConfig
from netdeconv.tasks import Classification
from netdeconv.training import NetworkConfig, OptimizerConfig, TrainingConfig

# The row that the others start from, where `netdeconv reproduce` leaves it.
_PRETRAINED = "runs/fine-tuning/pretraining"
RATES = (0.1, 0.03, 0.01)
SEEDS = (0, 1, 2)
# By the number of images: epochs.
TARGETS = {4000: 1, 1000: 3}
# By candidate: its normalisation, where it starts, and the rate that the search gave for each number of images.
CANDIDATES: dict[str, tuple[str, str | None, dict[int, float]]] = {
    "batch norm, fine-tuned": (BATCH_NORM, _PRETRAINED, {4000: 0.01, 1000: 0.01}),
    "whitened, fine-tuned": ("default", _PRETRAINED, {4000: 0.01, 1000: 0.01}),
    "whitened, from scratch": ("default", None, {4000: 0.1, 1000: 0.1}),
}


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label: pretraining, the search, and what the chosen rates give on the test images."""
    search = {
        f"search, {name}, {images} images, lr {lr:g}": _config(name, images, lr, 0, validation=1000)
        for images in TARGETS
        for name in CANDIDATES
        for lr in RATES
    }
    final = {
        f"final, {name}, {images} images, seed {seed}": _config(name, images, chosen[images], seed)
        for seed in SEEDS
        for images in TARGETS
        for name, (_, _, chosen) in CANDIDATES.items()
    }
    return {
        label: ExperimentRow(config=config)
        for label, config in {"pretraining": _pretraining(), **search, **final}.items()
    }


def summary(runs: Iterable[Reproduced]) -> list[dict[str, Any]]:
    """One line for every candidate and number of images: search, chosen rate, mean and spread over the seeds."""
    scores = {run.label: 0.0 if run.failure else run.score for run in runs}
    return [_line(name, images, scores) for images in TARGETS for name in CANDIDATES]


def _line(name: str, images: int, scores: dict[str, float | None]) -> dict[str, Any]:
    finals = [scores.get(f"final, {name}, {images} images, seed {seed}") for seed in SEEDS]
    found = [score for score in finals if score is not None]
    searched = {f"lr {lr:g}": scores.get(f"search, {name}, {images} images, lr {lr:g}") for lr in RATES}
    return {
        "candidate": name,
        "images": images,
        **{rate: None if score is None else round(score, 1) for rate, score in searched.items()},
        "chosen": CANDIDATES[name][2][images],
        "accuracy": round(statistics.mean(found), 2) if found else None,
        "spread": round(statistics.stdev(found), 2) if len(found) > 1 else None,
        "seeds": len(found),
    }


def _config(name: str, images: int, lr: float, seed: int, *, validation: int = 0) -> TrainingConfig:
    norm, start, _ = CANDIDATES[name]
    return TrainingConfig(
        task=Classification(),
        data=DataConfig(
            dataset="cifar10",
            batch_size=32,
            train_size=images,
            validation_size=validation,
            evaluation_size=None if validation else 2000,
        ),
        network=NetworkConfig(arch="resnet18", width=0.25, norm=NormConfig(name=norm)),
        optimizer=OptimizerConfig(name="SGD", lr=lr, momentum=0.9, weight_decay=1e-3, schedule="cosine"),
        start=start,
        epochs=TARGETS[images],
        seed=seed,
    )


def _pretraining() -> TrainingConfig:
    return TrainingConfig(
        task=Classification(),
        data=DataConfig(dataset="cifar100", batch_size=64, train_size=10000, evaluation_size=2000),
        network=NetworkConfig(arch="resnet18", width=0.25),
        optimizer=OptimizerConfig(name="SGD", lr=0.05, momentum=0.9, weight_decay=1e-3, schedule="cosine"),
        epochs=4,
    )
