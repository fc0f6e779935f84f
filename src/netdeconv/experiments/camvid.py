"""Segmentation of CamVid from scratch: FCN on ResNet-18 (output stride 16) at 240x180, 15 epochs, batch 8.

Each one's learning rate is searched in five epochs on 61 images cut from the training set. The final runs are evaluated
on the validation images after every epoch, and read the test images once, when all epochs are done.

Command:  netdeconv reproduce camvid --data-dir DIR --export results/segmentation/camvid.json
Source:   this project.
Hardware: two cores.
Minutes:  about 20 for a final run.
Expected: mean IoU on test 36.99 % batch norm, 38.24 % channel, one seed.
Spread:   one seed.
Status:   measured here for batch norm and channel, with rates searched for batch norm alone:
          results/segmentation/camvid.json and camvid-search.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netdeconv.data.config import DataConfig, Views
from netdeconv.experiments.running.contest import Contest, Plan
from netdeconv.experiments.running.experiment import Reproduced
from netdeconv.experiments.running.families import NAMES
from netdeconv.tasks import Segmentation
from netdeconv.training.config import NetworkConfig, OptimizerConfig, TrainingConfig


def measure_test(folder: Path, config: TrainingConfig) -> dict[str, Any]:
    """Return what the network of the last epoch reaches on the test images."""
    from netdeconv.tasks.trained import load_trained

    trained = load_trained(folder)
    return {**trained.measure("test", data_dir=config.data.data_dir), "classes": list(trained.info.class_names)}


def summary(runs: Sequence[Reproduced]) -> list[dict[str, Any]]:
    """One line for each final run."""
    return [
        {
            "normalisation": name,
            "mean IoU": round(run.measured["mean_iou"], 2),
            "global accuracy": round(run.measured["accuracy"], 2),
            "val mean IoU": [round(record["mean_iou"], 1) for record in run.history],
            "train loss": round(run.history[-1]["train_loss"], 3),
            "seconds": round(run.seconds),
        }
        for name, run in _measured(runs).items()
    ]


def _classes(runs: Sequence[Reproduced]) -> list[dict[str, Any]]:
    return [
        {"normalisation": name, **dict(zip(run.measured["classes"], run.measured["iou"], strict=True))}
        for name, run in _measured(runs).items()
    ]


def _measured(runs: Sequence[Reproduced]) -> dict[str, Reproduced]:
    return {run.label.partition(", seed")[0]: run for run in runs if run.measured}


PARTS = {"Intersection over union of every class, test, last epoch (%)": _classes}


PLAN = Plan(
    base=TrainingConfig(
        task=Segmentation(views=Views(size=(180, 240), crop=(180, 240)), output_stride=16),
        data=DataConfig(dataset="camvid", batch_size=8, validation_size=61),
        network=NetworkConfig(arch="fcn_resnet18"),
        optimizer=OptimizerConfig(weight_decay=1e-4, schedule="poly"),
        epochs=15,
    ),
    contest=Contest(variants=tuple(NAMES.values()), lrs=(0.1, 0.03, 0.01), search_epochs=5, seeds=(0,)),
    measure=measure_test,
)
rows, then = PLAN.rows, PLAN.then
