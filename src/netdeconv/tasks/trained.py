"""A finished run: its network, what it predicts, and how good that is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from netdeconv.tasks import TASKS
from netdeconv.tasks.segmentation import Segmentation
from netdeconv.tasks.trained_classifier import TrainedClassifier
from netdeconv.tasks.trained_network import TrainedNetwork
from netdeconv.tasks.trained_segmentation import TrainedSegmentation
from netdeconv.training.checkpoint import CheckpointError, evaluated_weights, load_checkpoint, restore_model
from netdeconv.training.plain import from_plain
from netdeconv.training.run_directory import RunDirectoryError, read_config

__all__ = ["TrainedClassifier", "TrainedNetwork", "TrainedSegmentation", "load_trained"]

CHECKPOINT = "checkpoint.pt"
_FORMATS = (1, 2, 3)  # of checkpoints; they differ in what a run needs to go on


def load_trained(path: str | Path, *, device: torch.device | str = "cpu") -> TrainedClassifier | TrainedSegmentation:
    """Return the network of a run.

    Args:
        path: the run directory.
        device: where to put the network.

    Raises:
        RunDirectoryError: when there is no run, or this version does not know its settings.
        CheckpointError: when the checkpoint is absent, damaged, of another network or other classes.
    """
    folder, device = Path(path).expanduser(), torch.device(device)
    plain = read_config(folder)
    if plain.get("task", {}).get("name") not in TASKS:
        raise RunDirectoryError(f"{folder} holds no run of one network")
    try:
        config = from_plain(plain, TASKS)
    except ValueError as error:
        raise RunDirectoryError(f"{folder} is of another version: {error}") from error
    file, task = folder / CHECKPOINT, config.task
    try:
        state = load_checkpoint(file)
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} has no {CHECKPOINT}: no epoch was finished") from error
    if state.get("format", 1) not in _FORMATS:
        raise CheckpointError(f"{file} has format {state['format']} of another version")
    weights = evaluated_weights(state)
    # The checkpoint has all weights: none are fetched, none read from where the run started.
    kind: type[TrainedClassifier | TrainedSegmentation] = TrainedClassifier
    if isinstance(task, Segmentation):
        kind, task = TrainedSegmentation, dataclasses.replace(task, pretrained_backbone=False)
    info = kind.entry(config, weights, file)
    network = task.build_network(dataclasses.replace(config.network, pretrained=False), info)
    restore_model(network, weights, file)
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    return kind(path=folder, config=config, info=info, network=network, device=device)
