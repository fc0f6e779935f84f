"""Cutting a part from a data set, every class in proportion, the same part for the same seed."""

from __future__ import annotations

import torch
from torch import Tensor


def balanced_split(labels: Tensor, size: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Choose ``size`` of the samples so that every class keeps its share.

    Args:
        labels: class numbers, (N,).
        size: samples to cut out, at least 1 and fewer than all.
        seed: which ones.

    Returns:
        Indices that stay and indices cut out, each in ascending order.

    Raises:
        ValueError: when ``size`` is out of range.
    """
    if not 1 <= size < len(labels):
        raise ValueError(f"cannot cut {size} samples from {len(labels)}")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    shuffled = labels.cpu()[order]
    # A sample's place within its class, as a fraction: the smallest fractions of every class are cut out.
    rank = torch.empty(len(labels), dtype=torch.float64)
    for label in shuffled.unique():
        members = (shuffled == label).nonzero().squeeze(1)
        rank[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    by_rank = order[rank.argsort(stable=True)]
    return by_rank[size:].sort().values, by_rank[:size].sort().values
