"""A run stopped at any moment goes on to the same numbers, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from netdeconv.tasks import TASKS, classification
from netdeconv.training import RunDirectory, RunDirectoryError, from_plain, load_checkpoint, read_config, run
from small_runs import StopAt, numbers, plain_config, small_config

SOURCE = Path(__file__).resolve().parents[2] / "src"


def assert_same_state(left: Path, right: Path) -> None:
    """All weights, buffers and optimiser states are equal bit for bit, and all numbers but times."""
    first, second = load_checkpoint(left / "checkpoint.pt"), load_checkpoint(right / "checkpoint.pt")
    assert first["model"].keys() == second["model"].keys()
    for key, value in first["model"].items():
        assert torch.equal(value, second["model"][key]), key
    for number, state in first["optimizer"]["state"].items():
        for key, value in state.items():
            assert torch.equal(value, second["optimizer"]["state"][number][key]), (number, key)
    assert torch.equal(first["rng"], second["rng"])
    lines = [[json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()] for path in (left, right)]
    assert numbers(lines[0]) == numbers(lines[1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run."""
    path = tmp_path_factory.mktemp("whole") / "run"
    return run(small_config(path), progress=False)


# Before anything was saved, at the first step of an epoch, in its midst, at the very end.
@pytest.mark.parametrize("moment", [(1, 4), (2, 1), (2, 7), (3, 10)])
def test_a_run_stopped_by_the_keyboard_resumes_bit_for_bit(tmp_path, whole, moment):
    config = small_config(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt, match=r"--resume .*run"):
        run(config, progress=StopAt(*moment))
    result = run(config, progress=False, resume=True)
    assert numbers(result.history) == numbers(whole.history)
    assert_same_state(tmp_path / "run", whole.path)


def test_layers_that_draw_random_numbers_go_on_where_they_were(tmp_path, monkeypatch):
    def with_dropout(config, data):
        return nn.Sequential(nn.Dropout(0.2), build(config, data))

    build = classification.build_network
    monkeypatch.setattr(classification, "build_network", with_dropout)
    run(plain_config(tmp_path / "whole"), progress=False)
    with pytest.raises(KeyboardInterrupt):
        run(plain_config(tmp_path / "run"), progress=StopAt(2, 3))
    run(plain_config(tmp_path / "run"), progress=False, resume=True)
    assert_same_state(tmp_path / "run", tmp_path / "whole")


def test_a_stop_between_checkpoint_and_metrics_leaves_whole_metrics(tmp_path, whole, monkeypatch):
    config = small_config(tmp_path / "run")
    write = RunDirectory.write_metrics

    def stop_at_second(self, history):
        if len(history) == 2:
            raise KeyboardInterrupt
        write(self, history)

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "write_metrics", stop_at_second)
        with pytest.raises(KeyboardInterrupt):
            run(config, progress=False)
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["epoch"] == 2
    # As after a power cut in the midst of a line.
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "trai')
    run(config, progress=False, resume=True)
    assert_same_state(tmp_path / "run", whole.path)


def test_a_stop_while_the_checkpoint_is_written_keeps_the_old_one(tmp_path, whole, monkeypatch):
    config = small_config(tmp_path / "run")
    replace, calls = os.replace, []

    def stop_at_second(source, target):
        if Path(target).name == "checkpoint.pt":
            calls.append(target)
            if len(calls) == 2:
                Path(source).write_bytes(Path(source).read_bytes()[:1000])
                raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stop_at_second)
        with pytest.raises(KeyboardInterrupt):
            run(config, progress=False)
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["epoch"] == 1
    run(config, progress=False, resume=True)
    assert_same_state(tmp_path / "run", whole.path)


def test_a_process_killed_in_the_midst_resumes_bit_for_bit(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    options = [
        "train",
        "--dataset",
        "digits",
        "--arch",
        "lenet",
        "--width",
        "0.5",
        "--deconv",
        "True",
        "--block",
        "4",
        "--block-fc",
        "32",
        "--epochs",
        "6",
        "--batch-size",
        "64",
        "--lr",
        "0.02",
        "--threads",
        "1",
        "--msg",
        "False",
        "--device",
        "cpu",
        "--result-path",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "netdeconv", *options, str(killed)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (killed / "metrics.jsonl").exists() or (killed / "metrics.jsonl").read_text().count("\n") < 1:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    config = from_plain(read_config(killed), TASKS)
    assert not (killed / "summary.json").exists()
    resumed = run(config, progress=False, resume=True)
    uninterrupted = run(from_plain({**read_config(killed), "result_path": str(whole)}, TASKS), progress=False)
    assert numbers(resumed.history) == numbers(uninterrupted.history)
    assert_same_state(killed, whole)


def test_resuming_a_finished_run_trains_nothing_and_keeps_its_numbers(whole):
    again = run(small_config(whole.path), progress=StopAt(1, 1), resume=True)
    assert again.history == whole.history


def test_resuming_with_other_settings_is_refused_by_name(whole):
    with pytest.raises(RunDirectoryError, match=r"seed was 0, not 5"):
        run(small_config(whole.path, seed=5), progress=False, resume=True)


def test_resuming_nothing_is_refused(tmp_path):
    with pytest.raises(RunDirectoryError, match="holds no run to resume"):
        run(small_config(tmp_path), progress=False, resume=True)
    assert list(tmp_path.iterdir()) == []


def test_sessions_are_recorded(whole):
    sessions = json.loads((whole.path / "environment.json").read_text())["sessions"]
    assert sessions[0]["torch"] == torch.__version__.split("+")[0]
    assert sessions[0]["threads"] == 1
