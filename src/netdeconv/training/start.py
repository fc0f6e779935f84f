"""The network that a run starts from: another run's, with its weights."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import torch
from torch import nn

from netdeconv.data import Splits
from netdeconv.models import BATCH_NORM, NormConfig, architecture, normalise
from netdeconv.training.checkpoint import CheckpointError, load_checkpoint, require_fit
from netdeconv.training.config import TrainingConfig
from netdeconv.training.run_directory import RunDirectoryError, read_config

_CALIBRATION_BATCHES = 8


def started_network(config: TrainingConfig, data: Splits, device: torch.device) -> nn.Module:
    """Return the network of the settings with the weights of the run that they start from.

    A head of another size is drawn anew. The outputs are those of the network with batch norm, also where the settings
    convert it: calibration sees the first training batches.

    Raises:
        RunDirectoryError: when there is no such run, or its network has no batch norm.
        CheckpointError: when more than the head differs.
    """
    folder = Path(str(config.start)).expanduser()
    before = read_config(folder)["network"]["norm"]["name"]
    if before != BATCH_NORM:
        raise RunDirectoryError(f"{folder} holds a network with {before}: only one with batch norm can be started from")
    plain = dataclasses.replace(config.network, norm=NormConfig())
    network = config.task.build_network(plain, data.info)
    file = folder / "checkpoint.pt"
    _load_but_head(network, load_checkpoint(file)["model"], file)
    calibration = (inputs for inputs, _ in itertools.islice(data.train.epoch(1), _CALIBRATION_BATCHES))
    settings = config.network.norm
    return normalise(network.to(device), settings, architecture(config.network.arch), calibration=calibration)


def _load_but_head(network: nn.Module, saved: dict[str, torch.Tensor], file: Path) -> None:
    own = network.state_dict()
    fitting = {name: value for name, value in saved.items() if name in own and own[name].shape == value.shape}
    others = {name.rpartition(".")[0] for name in {*own, *saved} if name not in fitting}
    if len(others) > 1 or not all(isinstance(network.get_submodule(name), nn.Linear) for name in others):
        require_fit(network, saved, file)
        raise CheckpointError(f"{file} belongs to another network")
    network.load_state_dict(own | fitting)
