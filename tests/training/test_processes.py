"""Several processes train what one process trains: through torchrun, on processors, with gloo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netdeconv.tasks import TASKS
from netdeconv.training import ParallelConfig, from_plain, load_checkpoint, read_config, run
from netdeconv.training.devices import build_fabric
from small_runs import StopAt

SOURCE = Path(__file__).resolve().parents[2] / "src"
TRAIN = [
    *("train", "--dataset", "digits", "--arch", "lenet", "--width", "0.5", "--deconv", "True", "--block", "4"),
    *("--block-fc", "32", "--batch-size", "256", "--lr", "0.02", "--threads", "1", "--msg", "False"),
    *("--device", "cpu", "--precision", "32-true", "--loggers", "csv", "--freeze", "False"),
    *("--eps", "1e-2", "--epochs", "3"),
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
    done = launch(1, *TRAIN, "--sync-statistics", "--result-path", str(path))
    assert done.returncode == 0, done.stderr
    return path


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_synchronised_processes_train_as_one(tmp_path, alone, strategy):
    path = tmp_path / "run"
    done = launch(2, *TRAIN, "--sync-statistics", "--strategy", strategy, "--result-path", str(path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy") == 1
    assert_near(history(path), history(alone))
    saved, whole = load_checkpoint(path / "checkpoint.pt"), load_checkpoint(alone / "checkpoint.pt")
    assert saved["model"].keys() == whole["model"].keys()
    for key, value in whole["model"].items():
        assert saved["model"][key].shape == value.shape, key
    assert saved["optimizer"]["state"].keys() == whole["optimizer"]["state"].keys()
    assert json.loads((path / "environment.json").read_text())["sessions"][0]["processes"] == 2


def test_a_run_of_one_process_goes_on_in_two(tmp_path, alone):
    path = tmp_path / "run"
    config = from_plain({**read_config(alone), "result_path": str(path)}, TASKS)
    with pytest.raises(KeyboardInterrupt):
        run(config, progress=StopAt(2, 1))
    done = launch(2, "train", "--resume", str(path), "--msg", "False")
    assert done.returncode == 0, done.stderr
    assert_near(history(path), history(alone))


def test_a_run_of_two_processes_killed_goes_on_in_one(tmp_path, alone):
    path = tmp_path / "run"
    program = [*command(2, *TRAIN, "--sync-statistics", "--result-path", str(path))]
    process = subprocess.Popen(program, env=ENVIRONMENT, start_new_session=True)
    deadline = time.monotonic() + 240
    while not (path / "checkpoint.pt").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (path / "summary.json").exists()
    result = run(from_plain(read_config(path), TASKS), progress=False, resume=True)
    assert_near(list(result.history), history(alone))


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


def test_a_refusal_of_the_first_process_ends_all(alone):
    done = launch(2, *TRAIN, "--sync-statistics", "--result-path", str(alone))
    assert done.returncode != 0
    assert "already holds a run" in done.stderr
    assert len(history(alone)) == 3
