"""Write the generated part of docs/scaling.md: ``python -m benchmarks.scaling_model [--check]``.

What synchronised statistics cost beside the gradient's all-reduce, for 8 to 4096 ranks. Nothing is measured: the
numbers follow from the sizes of real networks' matrices and from a model of an all-reduce, which the page states.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from typing import Any

import torch
import torchvision
from torch import nn

from benchmarks.pages.markdown import BEGIN, END, REPOSITORY, render_rows, update
from netdeconv import Whitening, convert
from netdeconv.nn import WhitenedLayer

PAGE = REPOSITORY / "docs" / "scaling.md"
RANKS = (8, 64, 512, 4096)
STATISTICS_BYTES, GRADIENT_BYTES, MEGA, MILLI = 4, 4, 1e6, 1e-3
NETWORKS = ("resnet18", "resnet50")
STRUCTURES = {
    "channel": Whitening(structure="channel"),
    "full, block 16": Whitening(group_size=16),
    "full, block 64": Whitening(),
}


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A cluster of nodes, in round numbers of current machines.

    Args:
        ranks_per_node: graphics cards that share a node.
        inside: bytes per second of a card to the others of its node.
        outside: bytes per second of a card to other nodes (a network card of 400 Gbit/s each).
        start: seconds until a collective's first byte is on its way.
        hop: seconds for each level of the tree between nodes.
    """

    ranks_per_node: int = 8
    inside: float = 400e9
    outside: float = 50e9
    start: float = 20e-6
    hop: float = 5e-6

    def all_reduce(self, size: float, ranks: int) -> float:
        """Seconds of one all-reduce: latency of a tree, bandwidth of a ring, first inside nodes, then between them."""
        local = min(ranks, self.ranks_per_node)
        nodes = max(1, ranks // self.ranks_per_node)
        seconds = self.start + 2 * size * (local - 1) / local / self.inside
        if nodes > 1:
            seconds += 2 * self.hop * math.ceil(math.log2(nodes))
            seconds += 2 * (size / local) * (nodes - 1) / nodes / self.outside
        return seconds


def payloads(model: nn.Module) -> list[int]:
    """Bytes of every layer's all-reduce: the count, the sums, the products."""
    samplers = [layer.sampler for layer in model.modules() if isinstance(layer, WhitenedLayer)]
    return [
        STATISTICS_BYTES * (1 + sampler.grouping.num_matrices * sampler.matrix_size * (1 + sampler.matrix_size))
        for sampler in samplers
    ]


def rows(cluster: Cluster) -> list[dict[str, Any]]:
    """One for each network, structure and number of ranks."""
    table = []
    for name in NETWORKS:
        for structure, whitening in STRUCTURES.items():
            with torch.device("meta"):
                model = convert(torchvision.models.get_model(name, weights=None), whitening)
            layers = payloads(model)
            gradient = GRADIENT_BYTES * sum(parameter.numel() for parameter in model.parameters())
            for ranks in RANKS:
                statistics = 2 * sum(cluster.all_reduce(size, ranks) for size in layers)
                table.append(
                    {
                        "network": name,
                        "structure": structure,
                        "ranks": ranks,
                        "all-reduces of statistics": 2 * len(layers),
                        "their MB": round(2 * sum(layers) / MEGA, 2),
                        "their ms": round(statistics / MILLI, 2),
                        "gradient MB": round(gradient / MEGA, 1),
                        "gradient ms": round(cluster.all_reduce(gradient, ranks) / MILLI, 2),
                    }
                )
    return table


def render() -> str:
    """The block, markers included."""
    cluster = Cluster()
    assumed = [
        {"assumed": "cards in a node", "value": cluster.ranks_per_node},
        {"assumed": "GB/s of a card inside its node", "value": round(cluster.inside / 1e9)},
        {"assumed": "GB/s of a card to other nodes", "value": round(cluster.outside / 1e9)},
        {"assumed": "microseconds to start a collective", "value": round(cluster.start * 1e6)},
        {"assumed": "microseconds for each level of the tree between nodes", "value": round(cluster.hop * 1e6)},
    ]
    return "\n\n".join([BEGIN, render_rows(assumed), render_rows(rows(cluster)), END])


def main() -> int:
    """Rewrite or check the page; returns the exit status."""
    return update(PAGE, render(), check="--check" in sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
