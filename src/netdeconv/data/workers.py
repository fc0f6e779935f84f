"""Loader processes: how many there are, and what is said when one dies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from netdeconv.data.errors import LoaderError

# How torch's messages of a loader process's end begin.
_DEATHS = ("DataLoader worker (pid", "Pin memory thread exited")


def workers_of_this_process(num_workers: int) -> int:
    """Return this process's part of a machine's loader processes, no more than there are processor cores.

    ``torchrun`` says how many training processes this machine has.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return -(-min(num_workers, cores) // processes)


@contextlib.contextmanager
def explained_deaths() -> Iterator[None]:
    """Turn torch's errors of a loader process's end into one line that says what to do.

    Torch may raise them anywhere in the training process, not only where a batch is awaited.

    Raises:
        LoaderError: when a loader process has died.
    """
    try:
        yield
    except RuntimeError as error:
        text = " ".join(str(error).split())
        if not text.startswith(_DEATHS):
            raise
        raise LoaderError(
            f"a process that reads images has died ({text.rstrip('. ')}), often for want of memory: try fewer with "
            "-j or --num-workers; --resume continues the run after its last finished epoch"
        ) from error
