"""What test_ranks.py looks at: groups of ranks, forked after all imports."""

from __future__ import annotations

import copy
import functools
import importlib
import warnings
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

import netdeconv.nn as nnd
from forks import Child

STEPS, LR = 3, 0.05
GROUPS = {"2 ranks": [4, 4], "3 ranks, unequal and empty": [7, 1, 0]}
SETTINGS = {
    "full": nnd.Whitening(group_size=2, sampling_stride=2, eps=1e-2),
    "channel": nnd.Whitening(structure="channel", group_size=2, sampling_stride=2, eps=1e-2),
    "padded": nnd.Whitening(group_size=3, eps=1e-2),
    "frozen": nnd.Whitening(group_size=2, freeze=nnd.Freeze(active=1, period=2), eps=1e-2),
}


def network(settings: nnd.Whitening) -> nn.Module:
    torch.manual_seed(3)
    common = {"whitening": settings, "dtype": torch.float64}
    return nn.Sequential(
        nnd.WhitenedConv2d(3, 4, 3, padding=1, **common),
        nn.ReLU(),
        nnd.ChannelWhitening(4, **common),
        nnd.WhitenedConv2d(4, 4, 3, stride=2, groups=2, **common),
        nn.ReLU(),
        nnd.WhitenedConvTranspose2d(4, 2, 2, **common),
        nn.Flatten(),
        nnd.WhitenedLinear(32, 2, **common),
    )


def batches(size: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(5)
    mixed = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    made = []
    for _ in range(STEPS):
        x = torch.randn(size, 3, 7, 7, generator=generator, dtype=torch.float64)
        made.append((torch.einsum("nchw,cd->ndhw", x, mixed) + 3, torch.randn(size, 2, generator=generator).double()))
    return made


def step(model: nn.Module, x: Tensor, y: Tensor, scale: float) -> Tensor:
    model.zero_grad()
    loss = (model(x) - y).square().sum() * scale
    loss.backward()
    return loss.detach()


def descend(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= LR * parameter.grad


def alone(name: str, size: int) -> list[Tensor]:
    """Losses, gradients of every step and final buffers of one process with the whole batch."""
    model, seen = network(SETTINGS[name]), []
    for x, y in batches(size):
        seen.append(step(model, x, y, 1 / size))
        seen += [parameter.grad.clone() for parameter in model.parameters()]
        descend(model)
    return seen + [buffer.clone() for buffer in model.buffers()]


def together(name: str, sizes: list[int], wrapped: bool) -> list[Tensor]:
    """The same of this rank, which has its share of every batch."""
    rank, total = distributed.get_rank(), sum(sizes)
    start = sum(sizes[:rank])
    model = nnd.sync_statistics(network(SETTINGS[name]))
    outer = DistributedDataParallel(model) if wrapped else model
    seen = []
    for x, y in batches(total):
        share = slice(start, start + sizes[rank])
        loss = step(outer, x[share], y[share], len(sizes) / total if wrapped else 1 / total)
        distributed.all_reduce(loss)
        seen.append(loss / len(sizes) if wrapped else loss)
        if not wrapped:
            for parameter in model.parameters():
                distributed.all_reduce(parameter.grad)
        seen += [parameter.grad.clone() for parameter in model.parameters()]
        descend(model)
    return seen + [buffer.clone() for buffer in model.buffers()]


def small_network(channels: int = 8) -> nn.Sequential:
    """Whitened convolutions (also 1x1 and grouped), a linear layer."""
    torch.manual_seed(0)
    settings = nnd.Whitening(group_size=4, eps=1e-2)
    return nn.Sequential(
        nnd.WhitenedConv2d(3, channels, 3, padding=1, whitening=settings),
        nn.ReLU(),
        nnd.WhitenedConv2d(channels, channels, 1, whitening=settings),
        nnd.WhitenedConv2d(channels, channels, 3, groups=2, whitening=settings),
        nn.Flatten(),
        nnd.WhitenedLinear(channels * 16, 4, whitening=settings),
    )


def wrapped_and_sharded() -> dict[str, list[float]]:
    """Losses of a plain model, wrapped ones, and a sharded one, on the same batches on all ranks; no warning."""
    batches = torch.randn(3, 8, 3, 6, 6, generator=torch.Generator().manual_seed(1))

    def losses(model: nn.Module) -> list[float]:
        optimizer, found = torch.optim.SGD(model.parameters(), 0.05), []
        for batch in batches:
            loss = model(batch.to(memory_format=torch.channels_last)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    results = {"plain": losses(small_network().to(memory_format=torch.channels_last))}
    for option in ("static_graph", "find_unused_parameters"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of gradients whose strides are not the parameter's
            warnings.filterwarnings("ignore", ".*find_unused_parameters=True was specified.*")
            model = small_network().to(memory_format=torch.channels_last)
            results[option] = losses(DistributedDataParallel(model, **{option: True}))
    sharded = small_network()
    for layer in (sharded[0], sharded[2], sharded[5], sharded):
        distributed.fsdp.fully_shard(layer)
    results["sharded"] = losses(sharded)
    return results


def rank_of(group: str, rank: int, folder: Path) -> None:
    """A process: every case, results in a file of its own."""
    sizes = GROUPS[group]
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/{group}", rank=rank, world_size=len(sizes))
    results = {(name, False): together(name, sizes, False) for name in SETTINGS}
    if len(set(sizes)) == 1:
        results["full", True] = together("full", sizes, True)
        results["tools"] = wrapped_and_sharded()
    copied = copy.deepcopy(nnd.sync_statistics(network(SETTINGS["full"])))
    assert copied[0].statistics.ranks is not None
    results["too few"] = too_few(rank)
    torch.save(results, folder / f"{group} {rank}.pt")
    distributed.destroy_process_group()


def too_few(rank: int) -> str:
    """The refusal of one row on all ranks together."""
    layer = nnd.sync_statistics(nnd.WhitenedLinear(3, 2))
    try:
        layer(torch.randn(int(rank == 0), 3))
    except ValueError as error:
        return str(error)
    return ""


def main(folder: Path) -> None:
    for name in ("torch._dynamo", "torch.distributed.fsdp"):  # or every process would
        importlib.import_module(name)
    for group, sizes in GROUPS.items():
        act = functools.partial(rank_of, group, folder=folder)
        ended = [child.wait() for child in [Child(functools.partial(act, rank)) for rank in range(len(sizes))]]
        assert not any(end.code for end in ended), ended
