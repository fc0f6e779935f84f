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

from netdeconv.experiments.running import published
from netdeconv.experiments.running.experiment import ExperimentRow
from netdeconv.experiments.running.families import cifar


def rows() -> dict[str, ExperimentRow]:
    """Return the runs by label."""
    return {f"block {size}": _row(size) for size in (16, 32, 64, 128)}


def _row(size: int) -> ExperimentRow:
    known = published.BLOCK_SIZE.get(size)
    return ExperimentRow(
        config=cifar("vgg16", 20, norm="paper", changes={"group_size": size}),
        expected={} if known is None else {published.STUDENTS: known},
    )
