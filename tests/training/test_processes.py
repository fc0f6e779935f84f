"""Several processes train what one process trains: through torchrun, on processors, with gloo."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netdeconv.cli import train
from netdeconv.tasks import TASKS
from netdeconv.training import ParallelConfig, RunDirectoryError, from_plain, load_checkpoint, read_config, run
from netdeconv.training.devices import build_fabric
from netdeconv.training.run_directory import open_directory
from small_runs import StopAt

SOURCE = Path(__file__).resolve().parents[2] / "src"
TRAIN = [
    *("train", "--dataset", "digits", "--arch", "lenet", "--width", "0.5", "--norm", "paper", "--block", "4"),
    *("--block-fc", "32", "--batch-size", "256", "--lr", "0.02", "--threads", "1", "--msg", "False"),
    *("--device", "cpu", "--precision", "32-true", "--loggers", "csv", "--freeze", "False"),
    *("--eps", "1e-2", "--epochs", "3", "--sync-statistics"),
]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}


def command(processes: int, *options: str) -> list[str]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [sys.executable, *(torchrun if processes > 1 else []), "-m", "netdeconv", *options]


def launch(processes: int, *options: str) -> subprocess.CompletedProcess:
    program = command(processes, *options)
    return subprocess.run(program, env=ENVIRONMENT, capture_output=True, text=True, timeout=240, check=False)


def history(path: Path) -> list[dict]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def assert_near(found: list[dict], expected: list[dict]) -> None:
    """Equal but for the order of float32 sums, which whitening amplifies by the conditions of its matrices.

    A batch cut wrongly, a missing or a double gradient change the loss in its first two digits.
    """
    assert [record["epoch"] for record in found] == [record["epoch"] for record in expected]
    for here, there in zip(found, expected, strict=True):
        assert here["train_loss"] == pytest.approx(there["train_loss"], rel=2e-3)
        assert here["loss"] == pytest.approx(there["loss"], rel=1e-2)
        assert abs(here["accuracy"] - there["accuracy"]) <= 2.0


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    path = tmp_path_factory.mktemp("alone") / "run"
    assert train.main([*TRAIN[1:], "--result-path", str(path)]) == 0
    return path


def test_synchronised_processes_train_as_one(tmp_path, alone):
    path = tmp_path / "run"
    done = launch(2, *TRAIN, "--result-path", str(path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy") == 1
    assert_near(history(path), history(alone))
    assert json.loads((path / "environment.json").read_text())["sessions"][0]["processes"] == 2


def test_a_run_of_one_process_goes_on_in_two_that_share_the_parameters(tmp_path, alone):
    path = tmp_path / "run"
    config = from_plain({**read_config(alone), "result_path": str(path)}, TASKS)
    with pytest.raises(KeyboardInterrupt):
        run(config, progress=StopAt(2, 1))
    done = launch(2, "train", "--resume", str(path), "--strategy", "fsdp", "--msg", "False")
    assert done.returncode == 0, done.stderr
    assert_near(history(path), history(alone))
    saved, whole = load_checkpoint(path / "checkpoint.pt"), load_checkpoint(alone / "checkpoint.pt")
    assert saved["model"].keys() == whole["model"].keys()
    for key, value in whole["model"].items():
        assert saved["model"][key].shape == value.shape, key
    assert saved["optimizer"]["state"].keys() == whole["optimizer"]["state"].keys()
    # and back: what the two have saved is whole
    assert len(run(config, progress=StopAt(1, 1), resume=True).history) == 3


def children(pid: int) -> list[int]:
    """Processes that a process started; torchrun's are in sessions of their own."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it may have ended since
            parent = int(file.read_text().rpartition(")")[2].split()[1])
            found += [int(file.parent.name)] if parent == pid else []
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds torchrun's processes in /proc")
def test_a_run_of_two_processes_killed_goes_on_in_one(tmp_path, alone):
    path = tmp_path / "run"
    process = subprocess.Popen(command(2, *TRAIN, "--result-path", str(path)), env=ENVIRONMENT)
    deadline = time.monotonic() + 240
    while not (path / "checkpoint.pt").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    started = children(process.pid)
    for pid in (process.pid, *started):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert not (path / "summary.json").exists()
    result = run(from_plain(read_config(path), TASKS), progress=False, resume=True)
    assert_near(list(result.history), history(alone))


class Two:
    """The first of two processes, or the second, as Fabric shows them."""

    world_size = 2

    def __init__(self, rank, answers):
        self.is_global_zero = rank == 0
        self._answers = answers

    def broadcast(self, answer):
        if self.is_global_zero:
            self._answers.append(answer)
        return self._answers[-1]


def test_the_first_process_claims_the_folder_and_a_refusal_reaches_all(tmp_path, alone):
    answers = []
    with open_directory(Two(0, answers), tmp_path / "run", name="x", resume=False) as first:
        second = open_directory(Two(1, answers), None, name="x", resume=False)
        assert second.path == first.path
        second.write_json("summary.json", {})
        second.write_metrics([{}])
        assert not (first.path / "summary.json").exists()
    for rank in (0, 1):
        with pytest.raises(RunDirectoryError, match="already holds a run"):
            open_directory(Two(rank, answers), alone, name="x", resume=False)


def test_as_many_processes_as_torchrun_started_are_used_and_nothing_else(monkeypatch):
    monkeypatch.setattr("torch.distributed.is_torchelastic_launched", lambda: True)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ValueError, match="--devices is 3, but torchrun started 2"):
        build_fabric(ParallelConfig(devices=3), device="cpu", precision="32-true")
    with pytest.raises(ValueError, match="--nodes is 1, but torchrun started 2"):
        build_fabric(ParallelConfig(nodes=1), device="cpu", precision="32-true")


@pytest.mark.parametrize("change", [{"devices": 0}, {"nodes": 0}, {"strategy": "dp"}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        ParallelConfig(**change)


def test_half_precision_needs_a_graphics_card():
    with pytest.raises(ValueError, match="16-mixed needs a graphics card"):
        build_fabric(ParallelConfig(), device="cpu", precision="16-mixed")
