"""How many channels share a block: VGG-16 on CIFAR-10, 20 epochs, blocks of 16 to 128.

Command:  netdeconv reproduce block-size --data-dir DIR
Source:   an independent study by students, which has 32, 64 and 128; 16 is the early version's recommendation.
Hardware: any GPU.
Minutes:  not measured.
Expected: 92.9 % (32), 93.1 % (64), 93.22 % (128).
Spread:   not published; one number a size, and the three lie within a third of a point.
Status:   not run here.
"""

from __future__ import annotations

import dataclasses

from netdeconv.experiments import published
from netdeconv.experiments.families import cifar
from netdeconv.experiments.recipe import RecipeRow
from netdeconv.experiments.variants import WhiteningChoice


def rows() -> dict[str, RecipeRow]:
    """Return the runs by label."""
    return {f"block {size}": _row(size) for size in (16, 32, 64, 128)}


def _row(size: int) -> RecipeRow:
    choice = WhiteningChoice(base=dataclasses.replace(WhiteningChoice().base, group_size=size))
    known = published.BLOCK_SIZE.get(size)
    return RecipeRow(
        config=cifar("vgg16", 20, norm="full", choice=choice),
        expected={} if known is None else {published.STUDENTS: known},
    )
