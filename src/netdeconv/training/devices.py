"""Which processes and devices a run uses: Fabric's strategies, and what torchrun says."""

from __future__ import annotations

import inspect
import os
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from lightning_fabric.strategies.strategy import Strategy
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from netdeconv.training.config import DeviceName, ParallelConfig, Precision, StrategyName
from netdeconv.training.precision import resolve_precision


def device_type(requested: DeviceName) -> str:
    """Return ``"cuda"``, ``"mps"`` or ``"cpu"``: the requested one, or the best there is.

    Raises:
        ValueError: when CUDA was asked for and is not there.
    """
    if requested == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: this machine has no CUDA device that torch can use")
    if requested != "auto":
        return requested
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def build_fabric(parallel: ParallelConfig, *, device: DeviceName, precision: Precision) -> tuple[Fabric, str]:
    """Return Fabric with its processes running, and its precision.

    Raises:
        ValueError: when the settings contradict torchrun's, or the strategy cannot do the precision.
    """
    kind = device_type(device)
    resolved = resolve_precision(precision, torch.device(kind))
    if resolved == "16-mixed" and kind == "cpu":
        raise ValueError("--precision 16-mixed needs a graphics card; the processor has bf16-mixed")
    devices, nodes = _counts(parallel)
    strategy = _strategy(parallel.strategy, devices * nodes)
    if isinstance(strategy, ModelParallelStrategy) and resolved == "16-mixed":
        raise ValueError("--strategy fsdp has no 16-mixed: choose bf16-mixed or 32-true")
    fabric = Fabric(accelerator=kind, devices=devices, num_nodes=nodes, strategy=strategy, precision=resolved)
    fabric.launch()
    return fabric, resolved


def is_first_process() -> bool:
    """Whether this process speaks for all: the only one, or the one with number 0."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def mean_over_processes(fabric: Fabric, values: Tensor) -> Tensor:
    """Return the mean of every number over the processes; all have to call it."""
    mean = fabric.all_reduce(values, reduce_op="mean")
    assert isinstance(mean, Tensor)
    return mean


def _counts(parallel: ParallelConfig) -> tuple[int, int]:
    if not torch.distributed.is_torchelastic_launched():
        return parallel.devices or 1, parallel.nodes or 1
    devices = int(os.environ["LOCAL_WORLD_SIZE"])
    nodes = int(os.environ["WORLD_SIZE"]) // devices
    for name, asked, started in (("devices", parallel.devices, devices), ("nodes", parallel.nodes, nodes)):
        if asked not in (None, started):
            raise ValueError(f"--{name} is {asked}, but torchrun started {started}: leave --{name} out")
    return devices, nodes


def _strategy(kind: StrategyName, world: int) -> Strategy | str:
    if kind == "fsdp":
        return ModelParallelStrategy(_shard, data_parallel_size=world, tensor_parallel_size=1)
    if kind == "ddp" or world > 1:
        # Running statistics are made equal once an epoch, not before every forward pass. torch 2.15 renamed this.
        known = inspect.signature(DistributedDataParallel).parameters
        name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        settings: dict[str, Any] = {"gradient_as_bucket_view": True, name: False}
        return DDPStrategy(**settings)
    return "auto"


def _shard(model: nn.Module, mesh: Any) -> nn.Module:
    """Shard every child by itself, so that one at a time is whole in memory, and then what is left."""
    from torch.distributed.fsdp import fully_shard

    data = mesh["data_parallel"]
    for module in model.modules():
        # FSDP's hooks hang on the outputs of a part: an activation must not overwrite them.
        if getattr(module, "inplace", None) is True:
            module.inplace = False  # type: ignore[assignment]
    for child in model.children():
        if any(True for _ in child.parameters()):
            fully_shard(child, mesh=data)
    fully_shard(model, mesh=data)
    return model
