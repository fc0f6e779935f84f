"""Settings that experiments share."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from netdeconv.data.config import DataConfig
from netdeconv.experiments.running.experiment import ExperimentRow, Reproduced
from netdeconv.models import NormConfig
from netdeconv.tasks import Classification
from netdeconv.training.config import NetworkConfig, OptimizerConfig, TrainingConfig, replaced

PAPER_LR = 0.1
SEEDS = (0, 1, 2)
# How tables of this project do.
NAMES = {"batch norm": "batch_norm", "default": "default", "channel": "channel", "full 16": "full16", "paper": "paper"}


def norm_config(norm: str, changes: Mapping[str, Any] | None = None) -> NormConfig:
    """Return a normalisation with changes, which say nothing of one that does not whiten."""
    return NormConfig(name=norm, **(changes or {} if NormConfig(name=norm).whitens else {}))


def cifar(
    arch: str,
    epochs: int,
    *,
    dataset: str = "cifar10",
    norm: str = "batch_norm",
    width: float = 1.0,
    batch_size: int = 128,
    images: int | None = None,
    cut: int = 0,
    lr: float = PAPER_LR,
    weight_decay: float = 1e-3,
    seed: int = 0,
) -> TrainingConfig:
    """Return a run on small images with the settings of the published program where nothing else is said.

    SGD with momentum 0.9, learning rate 0.1, cosine decay at every step, batch 128, weight decay 1e-3, crop and flip.

    Args:
        arch: the network.
        epochs: passes over the training images.
        dataset: such as ``"cifar10"``.
        norm: name of the normalisation.
        width: factor on the network's channels.
        batch_size: images in a batch.
        images: to train on; ``None``: all that are left.
        cut: from the training images, to evaluate on; 0: the test images are for that.
        lr: learning rate.
        weight_decay: on all parameters.
        seed: of weights and order.
    """
    return TrainingConfig(
        task=Classification(),
        data=DataConfig(dataset=dataset, batch_size=batch_size, train_size=images, validation_size=cut),
        network=NetworkConfig(arch=arch, width=width, norm=NormConfig(name=norm)),
        optimizer=OptimizerConfig(name="SGD", lr=lr, momentum=0.9, weight_decay=weight_decay, schedule="cosine"),
        epochs=epochs,
        seed=seed,
    )


def with_rates(config: TrainingConfig, lr: float, weight_decay: float) -> TrainingConfig:
    """Return a run with a learning rate and a weight decay."""
    return replaced(config, {"optimizer.lr": lr, "optimizer.weight_decay": weight_decay})


def searched(
    config: TrainingConfig, label: str, lrs: Sequence[float], decays: Sequence[float]
) -> dict[str, ExperimentRow]:
    """Return a run for every pair of a learning rate and a weight decay, by label; see :func:`best_of`."""
    return {
        f"{label} lr {lr:g} wd {decay:g}": ExperimentRow(config=with_rates(config, lr, decay))
        for lr in lrs
        for decay in decays
    }


def finals(config: TrainingConfig, label: str) -> dict[str, ExperimentRow]:
    """Return a run for every seed, by label."""
    return {f"{label}, seed {seed}": ExperimentRow(config=dataclasses.replace(config, seed=seed)) for seed in SEEDS}


def over_seeds(runs: Iterable[Reproduced], name: str) -> dict[str, Any]:
    """Return the mean score of runs, by a name, its spread and their number; one that diverged counts as 0."""
    scores = [0.0 if run.failure else run.score or 0.0 for run in runs if run.failure or run.is_finished]
    return {name: mean(scores), "spread": spread(scores), "seeds": len(scores)}


def mean(values: Sequence[float]) -> float | None:
    """Return the mean to two digits; ``None`` without values."""
    return round(statistics.mean(values), 2) if values else None


def spread(values: Sequence[float]) -> float | None:
    """Return the standard deviation over seeds to two digits; ``None`` for fewer than two."""
    return round(statistics.stdev(values), 2) if len(values) > 1 else None
