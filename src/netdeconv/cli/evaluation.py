"""Measuring a saved network, without training it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from netdeconv.training import TrainingConfig, evaluate, load_checkpoint
from netdeconv.training.checkpoint import evaluated_weights, restore_model
from netdeconv.training.devices import build_fabric
from netdeconv.training.precision import process_settings


def evaluate_checkpoint(config: TrainingConfig, checkpoint: Path | None) -> dict[str, Any]:
    """Evaluate the network of the settings on their evaluation data.

    Under torchrun every process takes a part of the data, and all return the same.

    Args:
        config: the settings of the network, the data and the machine.
        checkpoint: the network's weights and statistics, averaged ones where there are such; ``None`` leaves
            the network as it is built.

    Returns:
        What the task measures, and ``evaluated_on``.

    Raises:
        CheckpointError: when the checkpoint is damaged or of another network.
        MissingDataError: when the data set is not on this machine.
    """
    with process_settings(config.threads):
        fabric, _ = build_fabric(config.parallel, device=config.device, precision=config.precision)
        shard = (fabric.global_rank, fabric.world_size)
        splits = config.task.open(config.data, seed=config.seed, device=fabric.device, shard=shard)
        torch.manual_seed(config.seed)
        network = config.task.build_network(config.network, splits.info)
        if checkpoint is not None:
            restore_model(network, evaluated_weights(load_checkpoint(checkpoint)), checkpoint)
        network = network.to(fabric.device).to(memory_format=torch.channels_last).eval()
        meter = config.task.meter(splits.info.num_classes, fabric.device)
        with fabric.autocast():
            measured = evaluate(lambda inputs: network(inputs).float(), splits.evaluation, meter)
        return {"evaluated_on": splits.evaluated_on, **measured}
