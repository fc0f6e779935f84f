"""One function for each kind of fault: it returns how many moments hit, and raises AssertionError for a finding."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import itertools
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from faults.runs import finished, require_equal, require_same, tiny, train
from forks import Child, Ended
from netdeconv.cli.main import main
from netdeconv.training import run_directory
from netdeconv.training.checkpoint import CheckpointError, load_checkpoint
from netdeconv.training.config import TrainingConfig
from netdeconv.training.devices import TERMINATED
from netdeconv.training.run_directory import CONFIG

WRITES = ("partly written", "before renaming", "after renaming")


@dataclasses.dataclass(frozen=True)
class Whole:
    """The run that no fault hit: its directory, and the seconds that it computed."""

    path: Path
    seconds: float


def signals(folder: Path, whole: Whole, chance: random.Random, count: int, *, number: signal.Signals) -> int:
    """Send a signal to a run at random moments, go on with it after each, and to its end."""
    config = tiny(folder / "run")
    hit = 0
    for _ in range(count):
        child = Child(functools.partial(train, config))
        child.computed(chance.uniform(0.05, 0.8) * whole.seconds)
        child.send(number)
        ended = child.wait()
        if ended.code != 0:
            hit += 1
            assert ended.code == -number or (ended.code == TERMINATED and number == signal.SIGTERM), ended
    finished(config)
    require_same(folder / "run", whole.path)
    return hit


def writes(folder: Path, whole: Whole, chance: random.Random, count: int) -> int:
    """Kill a run within one of its writes: when a part is on the disk, and before and after it gets its name."""
    config = tiny(folder / "run")
    hit = 0
    for _ in range(count):
        ended = _killed_in_write(functools.partial(train, config), chance, 10)
        hit += ended.code != 0
    finished(config)
    require_same(folder / "run", whole.path)
    return hit


def exports(folder: Path, whole: Whole, chance: random.Random, count: int) -> int:
    """Kill an export of results within its writes: the file is whole, never a part."""
    del whole
    file = folder / "table.json"
    arguments = [
        *("reproduce", "mnist-mlp", "--dataset", "digits", "--epochs", "1", "--width", "0.05", "--train-size", "128"),
        *("--threads", "1", "--msg", "False", "--result-path", str(folder / "rows"), "--export", str(file)),
    ]
    ended = Child(functools.partial(main, arguments)).wait()
    assert ended.code == 0, ended
    before = file.read_bytes()
    hit = 0
    for _ in range(count):  # a table of the rows, then the file
        hit += _killed_in_write(functools.partial(main, arguments), chance, 2).code != 0
        assert file.read_bytes() == before, "a part of a file was left"
    return hit


def _killed_in_write(action: functools.partial[object], chance: random.Random, last: int) -> Ended:
    wanted, kind, keep = chance.randint(1, last), chance.choice(WRITES), chance.random()

    def child() -> None:
        _die_at_write(wanted, kind, keep)
        action()

    ended = Child(child).wait()
    assert ended.code in (0, -signal.SIGKILL), ended
    return ended


def _die_at_write(wanted: int, kind: str, keep: float) -> None:
    """Let this process end within the write of this number."""
    fsync, replace, seen = os.fsync, os.replace, itertools.count(1)

    def end() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def synced(descriptor: int) -> None:
        found = os.fstat(descriptor)
        if kind == "partly written" and stat.S_ISREG(found.st_mode) and next(seen) == wanted:
            os.ftruncate(descriptor, int(keep * found.st_size))
            end()
        fsync(descriptor)

    def replaced(source: Path, target: Path) -> None:
        now = kind != "partly written" and next(seen) == wanted
        if now and kind == "before renaming":
            end()
        replace(source, target)
        if now:
            end()

    os.fsync, os.replace = synced, replaced


def full_disk(folder: Path, whole: Whole, chance: random.Random, count: int) -> int:
    """Train on a file system that is too small: the run says so, and goes on elsewhere from what it has saved."""
    used = sum(file.stat().st_size for file in whole.path.iterdir())
    hit = 0
    for number in range(count):
        with _small_disk(folder / "disk", int(used * chance.uniform(0.02, 2.0))) as (disk, is_small):
            wanted = 10**9 if is_small else chance.randint(1, 40)
            ended = Child(functools.partial(_train_until_full, tiny(disk / "run"), wanted)).wait()
            hit += ended.code != 0
            assert ended.code == 0 or "No space left on device" in ended.message, ended
            elsewhere = folder / f"elsewhere-{number}"
            if (disk / "run").exists():
                shutil.copytree(disk / "run", elsewhere)
        finished(tiny(elsewhere))
        require_same(elsewhere, whole.path)
    return hit


def _train_until_full(config: TrainingConfig, wanted: int) -> None:
    """Train; from the write of this number on there is no space left."""
    fsync, seen = os.fsync, itertools.count(1)

    def full(descriptor: int) -> None:
        if next(seen) >= wanted:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    os.fsync = full
    train(config)


@contextlib.contextmanager
def _small_disk(mount: Path, size: int) -> Iterator[tuple[Path, bool]]:
    """A file system of this size, where one may be mounted; else a folder, and that it is none."""
    mount.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={max(size, 4096)}", "tmpfs", str(mount)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield mount, mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(mount)], check=True)
        else:
            shutil.rmtree(mount)


def damage(folder: Path, whole: Whole, chance: random.Random, count: int) -> int:
    """Cut or flip bits of a checkpoint: it is refused by its name, or what is read is what was written."""
    content = (whole.path / "checkpoint.pt").read_bytes()
    expected = load_checkpoint(whole.path / "checkpoint.pt")
    shutil.copytree(whole.path, folder / "run")
    file = folder / "run" / "checkpoint.pt"
    for number in range(count):
        damaged = bytearray(content)
        if number % 3 == 0:
            damaged = damaged[: chance.randrange(len(content))]
        for _ in range(0 if number % 3 == 0 else chance.choice([1, 1, 8])):
            damaged[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        file.write_bytes(damaged)
        refusal = None
        try:
            found = load_checkpoint(file)
        except CheckpointError as error:
            refusal = str(error)
        if refusal is None:
            require_equal(found, expected, "checkpoint")
        else:
            assert str(file) in refusal, refusal
            assert "weights_only" not in refusal, refusal
    file.write_bytes(content[: len(content) // 2])
    ended = Child(functools.partial(train, tiny(folder / "run"))).wait()
    assert ended.code == 1, ended
    assert ended.message.startswith("CheckpointError"), ended
    return count


def two_at_once(folder: Path, whole: Whole, chance: random.Random, count: int) -> int:
    """Start two runs in one directory: one of them trains, the other is refused in words."""
    run_directory.RESUME_PATIENCE_S = 0.2
    for number in range(count):
        path = folder / f"run-{number}"
        first = Child(functools.partial(train, tiny(path)))
        first.computed(chance.uniform(0, 0.5) * whole.seconds)
        ended = [child.wait() for child in (first, Child(functools.partial(train, tiny(path))))]
        assert any(one.code == 0 for one in ended), ended
        for one in ended:
            refused = any(text in one.message for text in ("in use by another run", "already holds a run"))
            assert one.code == 0 or refused, ended
        require_same(path, whole.path)
    return count


def killed_rank(folder: Path, whole: Whole, chance: random.Random, count: int) -> int:
    """Kill one of two processes that train together: the other ends, and both go on to the same numbers."""
    del whole
    seconds = require_done(ranks(tiny(folder / "reference")))
    hit = 0
    for number in range(count):
        path = folder / f"run-{number}"
        children = ranks(tiny(path))
        victim, other = chance.sample(children, 2)
        victim.computed(chance.uniform(0.05, 0.9) * seconds)
        victim.send(signal.SIGKILL)
        killed = victim.wait()
        other.send(signal.SIGTERM)  # as torchrun does when one is dead
        survived = other.wait()
        hit += killed.code != 0
        assert killed.code == 0 or survived.code != 0 or (path / "summary.json").exists(), survived
        require_done(ranks(tiny(path)))
        require_same(path, folder / "reference")
    return hit


def require_done(children: list[Child]) -> float:
    """Wait for processes that have to end well, and return the fewest seconds that one computed."""
    ended = [child.wait() for child in children]
    assert all(one.code == 0 for one in ended), ended
    return min(one.seconds for one in ended)


def ranks(config: TrainingConfig, action: Callable[[int], object] | None = None) -> list[Child]:
    """Two processes as torchrun starts them, that begin the run or go on with it, or do something else."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        **{"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "faults"},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
    }
    resume = (Path(str(config.result_path)) / CONFIG).exists()

    def child(rank: int) -> None:
        if action is not None:
            action(rank)
            return
        train(config, resume=resume)
        time.sleep(0.5)  # as an interpreter takes to end: the connections of one that ends at once are reset

    return [
        Child(functools.partial(child, rank), {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
