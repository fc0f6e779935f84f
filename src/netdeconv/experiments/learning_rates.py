"""Accuracy over the learning rate: in which range of rates batch norm and the settings of whitening train.

Quarter-width networks learn from 3000 images for 3 epochs with momentum 0.9, weight decay 1e-3 and a cosine schedule.
Accuracies are of images cut from the training set, with statistics recalibrated on 16 training batches. The map
itself is a VGG-11 with batch 64 and SGD on four data sets. Its other three parts are experiments of their own: other
networks; other rates, data, batches and optimisers; and candidates, which the default could be instead.

Command:  netdeconv reproduce learning-rates --data-dir DIR --export results/learning-rates.json
Source:   this project.
Hardware: one core.
Minutes:  about 2 for the four rates of one normalisation in one panel.
Expected: batch norm trains at the lowest rates alone; whitening at all of them.
Spread:   see the export, over seeds.
Status:   measured here: results/learning-rates.json, -networks.json, -further.json and -candidates.json.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from netdeconv.experiments.running.experiment import ExperimentRow, Reproduced, Rows
from netdeconv.experiments.running.families import SEEDS, cifar
from netdeconv.models import NormConfig
from netdeconv.training.config import TrainingConfig, replaced

RATES = (0.3, 0.1, 0.03, 0.01)
# Images to train on, and to evaluate on, both cut from the training set.
IMAGES = {"digits": (1000, 297), "imagenette": (700, 300)}


_USUAL: dict[str, Any] = {
    "dataset": "cifar10",
    "arch": "vgg11",
    "width": 0.25,
    "batch_size": 64,
    "optimizer": "SGD",
    "epochs": 3,
}
# What is trained in one panel of each map, but for normalisation, rate and seed, and is not as usual.
MAP: dict[str, dict[str, Any]] = {name: {"dataset": name} for name in ("cifar10", "fashion_mnist", "mnist", "digits")}
NETWORKS: dict[str, dict[str, Any]] = {
    "cifar10 resnet18": {"arch": "resnet18"},
    "cifar10 mobilenet_v2": {"arch": "mobilenet_v2", "width": 0.5},
    "cifar10 densenet121": {"arch": "densenet121"},
}
FURTHER: dict[str, dict[str, Any]] = {
    **{name: {**panel, "rates": (1.0, 0.003)} for name, panel in MAP.items()},
    # 3000 images are 30 of each class.
    "cifar100 12000 images": {"dataset": "cifar100", "images": 12000},
    # A third of the images for three times the epochs, files brought to 64 pixels.
    "imagenette": {"dataset": "imagenette", "epochs": 9, "image_size": 64},
    # About the seconds of the default's three epochs.
    "cifar10 5 epochs": {"epochs": 5},
    "cifar10 batch 4": {"batch_size": 4},
    "cifar10 batch 16": {"batch_size": 16, "rates": (*RATES, 0.003)},
    "cifar10 batch 256": {"batch_size": 256},
    "cifar10 batch 256 and 12000 images": {"batch_size": 256, "images": 12000},
    "cifar10 AdamW": {"optimizer": "AdamW", "rates": (0.03, 0.01, 0.003, 0.001, 0.0003)},
    "cifar10 Muon": {"optimizer": "Muon", "rates": (*RATES, 0.003)},
}


def _five(**changes: Any) -> NormConfig:
    """The default with five steps behind the stem, and a change."""
    return NormConfig(name="default", num_iterations=5, **changes)


CANDIDATES = {
    "batch norm": NormConfig(),
    "default": NormConfig(name="default"),
    "whitened stem, batch norm": NormConfig(name="stem"),
    "stem 3 steps, 64 rows": NormConfig(name="default", stem_iterations=3, rows_per_feature=64),
    "2 steps": NormConfig(name="default", num_iterations=2),
    "5 steps": _five(),
    "7 steps": NormConfig(name="default", num_iterations=7),
    # what was tried when there were five steps: the head,
    "plain head": _five(linear_group_size=0),
    "head 64": _five(linear_group_size=64),
    # the stem,
    "stem 3 steps": _five(stem_iterations=3),
    "stem 7 steps": _five(stem_iterations=7),
    "stem 15 steps": _five(stem_iterations=15),
    "stem 15 steps, frozen": _five(stem_iterations=15, freeze=True),
    "stem eps 1e-3": _five(stem_eps=1e-3),
    "stem eps 1e-2": _five(stem_eps=1e-2),
    "stem channel": _five(stem=False),
    # the rest
    "channel 16": _five(group_size=16),
    "full 8": _five(structure="full", group_size=8),
    "full 16": _five(structure="full", group_size=16),
    "eps 1e-3": _five(eps=1e-3),
    "64 rows a feature": _five(rows_per_feature=64),
    "channel": NormConfig(name="channel"),
    "paper": NormConfig(name="paper"),
}


def rows(panels: Mapping[str, dict[str, Any]], names: Iterable[str]) -> Rows:
    """Return the runs of some panels with some normalisations, by label."""
    return {
        f"{panel}, {name}, lr {lr:g}, seed {seed}": ExperimentRow(
            config=_config(_USUAL | changes, CANDIDATES[name], lr, seed)
        )
        for seed in SEEDS
        for panel, changes in panels.items()
        for name in names
        for lr in changes.get("rates", RATES)
    }


def summary(runs: Iterable[Reproduced]) -> list[dict[str, Any]]:
    """One line for every normalisation in every panel: accuracy at each rate; best, mean and worst of them; spread."""
    found: dict[tuple[str, str], dict[float, list[float]]] = {}
    for run in runs:
        panel, *name, rate, _ = run.label.split(", ")
        score = 0.0 if run.failure else run.score
        if score is not None and (run.failure or run.is_finished):
            scores = found.setdefault((panel, ", ".join(name)), {})
            scores.setdefault(float(rate.removeprefix("lr ")), []).append(score)
    rates = sorted({rate for scores in found.values() for rate in scores}, reverse=True)
    return [_line(panel, name, scores, rates) for (panel, name), scores in found.items()]


def _line(panel: str, name: str, scores: dict[float, list[float]], rates: list[float]) -> dict[str, Any]:
    means = {rate: statistics.mean(values) for rate, values in scores.items()}
    spreads = [statistics.stdev(values) for values in scores.values() if len(values) > 1]
    return {
        "data": panel,
        "normalisation": name,
        **{f"lr {rate:g}": round(means[rate], 1) if rate in means else None for rate in rates},
        "best": round(max(means.values()), 1),
        "mean": round(statistics.mean(means.values()), 1),
        "worst": round(min(means.values()), 1),
        "spread": round(statistics.mean(spreads), 1) if spreads else None,
        "seeds": min(map(len, scores.values())),
    }


def _config(panel: dict[str, Any], norm: NormConfig, lr: float, seed: int) -> TrainingConfig:
    images, cut = IMAGES.get(panel["dataset"], (3000, 2000))
    sizes = {name: panel[name] for name in ("dataset", "width", "batch_size")}
    images = panel.get("images", images)
    config = cifar(panel["arch"], panel["epochs"], images=images, cut=cut, lr=lr, seed=seed, **sizes)
    changes = {"network.norm": norm, "optimizer.name": panel["optimizer"], "data.image_size": panel.get("image_size")}
    return replaced(config, changes)


_BOTH = ("batch norm", "default")
ROWS = {
    "learning-rates": functools.partial(rows, MAP, _BOTH),
    "learning-rates-networks": functools.partial(rows, NETWORKS, _BOTH),
    "learning-rates-further": functools.partial(rows, FURTHER, _BOTH),
    "learning-rates-candidates": functools.partial(rows, {"cifar10": MAP["cifar10"]}, tuple(CANDIDATES)),
}
