"""Cutting batches over processes: equal parts, no image twice, the same number of steps for all.

Shape letters: N samples of an epoch.
"""

from __future__ import annotations

from torch import Tensor

# This process's number, and the number of processes.
Shard = tuple[int, int]


def local_batch_size(batch_size: int, shard: Shard) -> int:
    """Return how many images of each batch one process gets.

    Raises:
        ValueError: when the batch is empty or cannot be cut into equal parts.

    Example:
        >>> local_batch_size(256, (0, 4))
        64
    """
    _, world = shard
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if batch_size < world:
        raise ValueError(
            f"a batch of {batch_size} is smaller than the number of processes, {world}: batch_size is of the whole "
            f"batch, and must be at least {world}"
        )
    if batch_size % world:
        below = batch_size // world * world
        raise ValueError(
            f"a batch of {batch_size} cannot be cut into {world} equal parts, one for each process; "
            f"{below} and {below + world} can"
        )
    return batch_size // world


def count_steps(num_samples: int, batch_size: int, shard: Shard) -> int:
    """Return the steps of an epoch, the same for all processes, each of a whole batch of ``batch_size``.

    A last batch of less than half of the images is left out: statistics of a handful of images would
    disturb the others. An epoch shorter than that is one batch.

    Raises:
        ValueError: when there are fewer images than processes.

    Example:
        >>> [count_steps(samples, 16, (0, 2)) for samples in (7, 39, 40)]
        [1, 2, 3]
    """
    _, world = shard
    if num_samples < world:
        raise ValueError(f"{num_samples} training images are too few for {world} processes")
    local = local_batch_size(batch_size, shard)
    whole, rest = divmod(num_samples // world, local)
    return whole + (1 if whole == 0 or rest * 2 >= local else 0)


def share(chosen_N: Tensor, shard: Shard) -> Tensor:
    """Return one process's part of what was drawn for an epoch: every ``world``-th, equally many for all.

    Together the processes' n-th batches are the n-th batch of a single process. Where the images cannot be
    divided, the last few are left out of this epoch.
    """
    rank, world = shard
    return chosen_N[: len(chosen_N) // world * world][rank::world]
