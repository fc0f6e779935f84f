"""What test_processes.py looks at: runs of one process and of two, forked after all imports."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import time
from pathlib import Path

import segmentation_worker
import small_scenes
from faults.kinds import ranks, require_done
from faults.runs import import_as, tiny, train
from forks import Child
from netdeconv.data.config import DataConfig
from netdeconv.models import NormConfig
from netdeconv.training.config import NetworkConfig, TrainingConfig
from netdeconv.training.devices import TERMINATED
from netdeconv.training.session import run
from small_runs import StopAt, small_config


def config(path: Path) -> TrainingConfig:
    norm = NormConfig(name="paper", group_size=4, linear_group_size=32, freeze=False, eps=1e-2)
    return small_config(
        path,
        data=DataConfig(dataset="digits", train_size=384, batch_size=128, evaluation_size=200),
        network=NetworkConfig(arch="lenet", width=0.5, norm=norm),
        device="cpu",
        precision="32-true",
        epochs=2,
        loggers=("csv",),
        sync_statistics=True,
    )


class TerminateAt(StopAt):
    """SIGTERM to this process after a step, as a cluster sends it."""

    def step(self, *, epoch: int, step: int, images: int, loss: float) -> None:
        del images, loss
        if (epoch, step) == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


def own_statistics(path: Path) -> TrainingConfig:
    """Within an epoch every process has statistics, losses and random numbers of its own."""
    return tiny(path, checkpoint_minutes=0.0)


def main(folder: Path) -> None:
    import_as(own_statistics(folder / "first"))

    small_scenes.camvid(folder)
    require_done([Child(functools.partial(segmentation_worker.main, 0, 1, str(folder)))])
    require_done([Child(functools.partial(segmentation_worker.main, rank, 2, str(folder))) for rank in range(2)])

    require_done(ranks(own_statistics(folder / "whole")))
    stopped = own_statistics(folder / "stopped")
    told = ranks(stopped, lambda rank: run(stopped, progress=TerminateAt(1, 2) if rank == 0 else None))
    assert [child.wait().code for child in told] == [TERMINATED] * 2
    shutil.copy(folder / "stopped/checkpoint.pt", folder / "within.pt")
    require_done(ranks(stopped))

    require_done([Child(functools.partial(train, config(folder / "alone")))])
    require_done(ranks(config(folder / "together")))

    # one process, then two, then one again
    shared = config(folder / "shared")
    Child(functools.partial(run, shared, progress=StopAt(2, 1))).wait()
    require_done(ranks(shared))
    require_done([Child(functools.partial(run, shared, progress=StopAt(1, 1), resume=True))])

    # two that are killed, then one
    killed = ranks(config(folder / "killed"))
    while not (folder / "killed" / "checkpoint.pt").exists():
        time.sleep(0.005)
    for child in killed:
        child.send(signal.SIGKILL)
    assert [child.wait().code for child in killed] == [-signal.SIGKILL] * 2
    assert not (folder / "killed" / "summary.json").exists()
    require_done([Child(functools.partial(train, config(folder / "killed")))])
