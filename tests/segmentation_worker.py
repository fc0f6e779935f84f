"""What processes that measure a segmentation network do, for processes_worker.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from netdeconv.data.config import DataConfig, Views
from netdeconv.models import NormConfig
from netdeconv.tasks import Segmentation
from netdeconv.training.config import NetworkConfig
from netdeconv.training.measuring import evaluate

TASK = Segmentation(views=Views(crop=(24, 32), evaluation_batch=2))


def measure(root: str, shard: tuple[int, int]) -> dict[str, Any]:
    """The same network in every process, measured on its share of the validation images."""
    device = torch.device("cpu")
    splits = TASK.open(DataConfig(dataset="camvid", data_dir=root, batch_size=4), seed=0, device=device, shard=shard)
    torch.manual_seed(2)
    network = TASK.build_network(
        NetworkConfig(arch="fcn_resnet18", width=0.125, norm=NormConfig(name="paper", group_size=8)), splits.info
    )
    for inputs, _ in splits.train.epoch(1) if shard[1] == 1 else ():
        network(inputs)
    if shard[1] > 1:
        network.load_state_dict(torch.load(Path(root) / "network.pt"))
    else:
        torch.save(network.state_dict(), Path(root) / "network.pt")
    return evaluate(network.eval(), splits.evaluation, TASK.meter(splits.info.num_classes, device))


def main(rank: int, world: int, root: str) -> None:
    """A process."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{root}/meet{world}", rank=rank, world_size=world)
    result = measure(root, (rank, world))
    (Path(root) / f"{world}-{rank}.json").write_text(json.dumps(result))
    distributed.destroy_process_group()
