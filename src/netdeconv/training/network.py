"""The network that a run trains: built with batch norm, then converted; or another run's, with its weights."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn

from netdeconv import models
from netdeconv.data.splits import Splits
from netdeconv.models import BATCH_NORM, NormConfig
from netdeconv.nn import WhitenedLayer, sync_statistics
from netdeconv.training.checkpoint import load_checkpoint, restore_model
from netdeconv.training.config import TrainingConfig
from netdeconv.training.run_directory import RunDirectoryError, read_config

_CALIBRATION_BATCHES = 8


def initial_network(config: TrainingConfig, data: Splits, fabric: Fabric) -> nn.Module:
    """Return the network of a run with its initial weights, on the device of this process.

    Raises:
        RunDirectoryError, CheckpointError: as :func:`started_network` does.
        ValueError: when its statistics cannot be synchronised.
    """
    torch.manual_seed(config.seed)
    if config.start is None:
        network = config.task.build_network(config.network, data.info)
    else:
        network = started_network(config, data, fabric.device)
    if config.sync_statistics:
        whitened = any(isinstance(module, WhitenedLayer) for module in network.modules())
        if fabric.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        elif not whitened and fabric.world_size > 1:
            raise ValueError("torch synchronises batch norm on graphics cards only: leave --sync-statistics out")
        network = sync_statistics(network) if whitened else network
    return network.to(fabric.device).to(memory_format=torch.channels_last)


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
    network = config.task.build_network(dataclasses.replace(config.network, norm=NormConfig()), data.info)
    file = folder / "checkpoint.pt"
    saved, own, modules = load_checkpoint(file)["model"], network.state_dict(), dict(network.named_modules())
    fitting = {name: value for name, value in saved.items() if name in own and own[name].shape == value.shape}
    others = {name.rpartition(".")[0] for name in {*own, *saved} if name not in fitting}
    is_head = len(others) == 1 and all(isinstance(modules.get(name), nn.Linear) for name in others)
    restore_model(network, own | fitting if is_head else saved, file)
    calibration = (inputs for inputs, _ in itertools.islice(data.train.epoch(1), _CALIBRATION_BATCHES))
    entry = models.architecture(config.network.arch)
    return models.normalise(network.to(device), config.network.norm, entry, calibration=calibration)
