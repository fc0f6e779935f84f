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

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netdeconv.data.config import DataConfig, Views
from netdeconv.experiments.running.experiment import ExperimentRow, Reproduced, Rows, best_of
from netdeconv.experiments.running.families import NAMES, searched
from netdeconv.models import NormConfig
from netdeconv.tasks import Segmentation
from netdeconv.training.config import NetworkConfig, OptimizerConfig, TrainingConfig

RATES, SEARCH_EPOCHS, EPOCHS, CUT = (0.1, 0.03, 0.01), 5, 15, 61


def rows() -> Rows:
    """Return the searches' runs by label."""
    found: dict[str, ExperimentRow] = {}
    for name, norm in NAMES.items():
        found |= searched(_config(norm, SEARCH_EPOCHS, cut=CUT), f"{name}, search", RATES, (1e-4,))
    return found


def then(found: Mapping[str, Reproduced]) -> Rows:
    """Return the final runs, each at the rate that its search found."""
    best = {name: best_of(found, f"{name}, search") for name in NAMES}
    return {
        name: ExperimentRow(config=_config(NAMES[name], EPOCHS, lr=own.optimizer.lr), measure=measure_test)
        for name, own in best.items()
        if own is not None
    }


def measure_test(folder: Path, config: TrainingConfig) -> dict[str, Any]:
    """Return what the network of the last epoch reaches on the test images."""
    from netdeconv.tasks.trained import load_trained

    trained = load_trained(folder)
    return {**trained.measure("test", data_dir=config.data.data_dir), "classes": list(trained.info.class_names)}


def summary(runs: Sequence[Reproduced]) -> list[dict[str, Any]]:
    """One line for each final run."""
    return [
        {
            "normalisation": run.label,
            "mean IoU": round(run.measured["mean_iou"], 2),
            "global accuracy": round(run.measured["accuracy"], 2),
            "val mean IoU": [round(record["mean_iou"], 1) for record in run.history],
            "train loss": round(run.history[-1]["train_loss"], 3),
            "seconds": round(run.seconds),
        }
        for run in runs
        if run.measured
    ]


def _classes(runs: Sequence[Reproduced]) -> list[dict[str, Any]]:
    return [
        {"normalisation": run.label, **dict(zip(run.measured["classes"], run.measured["iou"], strict=True))}
        for run in runs
        if run.measured
    ]


PARTS = {"Intersection over union of every class, test, last epoch (%)": _classes}


def _config(norm: str, epochs: int, *, lr: float = 0.1, cut: int = 0) -> TrainingConfig:
    return TrainingConfig(
        task=Segmentation(views=Views(size=(180, 240), crop=(180, 240), scale=(0.5, 2.0)), output_stride=16),
        data=DataConfig(dataset="camvid", batch_size=8, validation_size=cut),
        network=NetworkConfig(arch="fcn_resnet18", norm=NormConfig(name=norm)),
        optimizer=OptimizerConfig(name="SGD", lr=lr, momentum=0.9, weight_decay=1e-4, schedule="poly"),
        epochs=epochs,
    )
