"""Accuracy over the learning rate: in which range of rates batch norm and the settings of whitening train.

A quarter-width VGG-11 learns from 3000 images for 3 epochs, batch 64, SGD with momentum 0.9, weight decay 1e-3, cosine.
Accuracies are of images cut from the training set, with statistics recalibrated on 16 training batches.

Command:  netdeconv reproduce learning-rates '*seed 0' --data-dir DIR --export results/learning-rates.json
Source:   this project.
Hardware: one core.
Minutes:  about 1 for the four rates of one normalisation on one data set; whitening 1.5 times that.
Expected: batch norm trains at the lowest rates alone; whitening at all of them.
Spread:   see the export, over seeds.
Status:   measured here: results/learning-rates.json.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from netdeconv.data import DataConfig
from netdeconv.experiments.running.experiment import ExperimentRow, Reproduced
from netdeconv.models import NormConfig
from netdeconv.tasks import Classification
from netdeconv.training import NetworkConfig, OptimizerConfig, TrainingConfig

RATES = (0.3, 0.1, 0.03, 0.01)
SEEDS = (0, 1, 2)
# Images to train on, and to evaluate on, both cut from the training set.
IMAGES = {"cifar10": (3000, 2000), "fashion_mnist": (3000, 2000), "mnist": (3000, 2000), "digits": (1000, 297)}
CANDIDATES = {
    "batch norm": NormConfig(),
    "default": NormConfig(name="default"),
    "default, plain head": NormConfig(name="default", linear_group_size=0),
    "channel": NormConfig(name="channel"),
    "full16": NormConfig(name="full16"),
}


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    return {
        f"{dataset}, {name}, lr {lr:g}, seed {seed}": ExperimentRow(config=_config(dataset, norm, lr, seed))
        for seed in SEEDS
        for dataset in IMAGES
        for name, norm in CANDIDATES.items()
        for lr in RATES
    }


def summary(runs: Iterable[Reproduced]) -> list[dict[str, Any]]:
    """One line for every normalisation on every data set: mean accuracy at each rate, best and worst, and spread."""
    found: dict[tuple[str, str], dict[float, list[float]]] = {}
    for run in runs:
        dataset, *name, rate, _ = run.label.split(", ")
        score = 0.0 if run.failure else run.score
        if score is not None:
            scores = found.setdefault((dataset, ", ".join(name)), {})
            scores.setdefault(float(rate.removeprefix("lr ")), []).append(score)
    return [_line(dataset, name, scores) for (dataset, name), scores in found.items()]


def _line(dataset: str, name: str, scores: dict[float, list[float]]) -> dict[str, Any]:
    means = {rate: statistics.mean(values) for rate, values in scores.items()}
    spreads = [statistics.stdev(values) for values in scores.values() if len(values) > 1]
    cells = {f"lr {rate:g}": round(means[rate], 1) if rate in means else None for rate in RATES}
    return {
        "data": dataset,
        "normalisation": name,
        **cells,
        "best": round(max(means.values()), 1),
        "worst": round(min(means.values()), 1),
        "spread": round(statistics.mean(spreads), 1) if spreads else None,
        "seeds": min(map(len, scores.values())),
    }


def _config(dataset: str, norm: NormConfig, lr: float, seed: int) -> TrainingConfig:
    train, validation = IMAGES[dataset]
    return TrainingConfig(
        task=Classification(),
        data=DataConfig(dataset=dataset, batch_size=64, train_size=train, validation_size=validation),
        network=NetworkConfig(arch="vgg11", width=0.25, norm=norm),
        optimizer=OptimizerConfig(name="SGD", lr=lr, momentum=0.9, weight_decay=1e-3, schedule="cosine"),
        epochs=3,
        seed=seed,
    )
