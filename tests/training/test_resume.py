"""A run stopped at any moment goes on to the same numbers, bit for bit."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from faults.runs import require_same
from netdeconv.training import RunDirectory, RunDirectoryError, load_checkpoint, run
from small_runs import StopAt, numbers, small_config

SOURCE = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run."""
    path = tmp_path_factory.mktemp("whole") / "run"
    return run(small_config(path), progress=False)


# Before anything was saved, and at the very end; tests/faults has many more.
@pytest.mark.parametrize("moment", [(1, 4), (3, 10)])
def test_a_run_stopped_by_the_keyboard_resumes_bit_for_bit(tmp_path, whole, moment):
    config = small_config(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt, match=r"--resume .*run"):
        run(config, progress=StopAt(*moment))
    result = run(config, progress=False, resume=True)
    assert numbers(result.history) == numbers(whole.history)
    require_same(tmp_path / "run", whole.path)


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
    require_same(tmp_path / "run", whole.path)


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
    require_same(tmp_path / "run", whole.path)


def test_resuming_a_finished_run_trains_nothing_and_keeps_its_numbers(whole):
    again = run(small_config(whole.path), progress=StopAt(1, 1), resume=True)
    assert again.history == whole.history


def test_resuming_with_other_settings_is_refused_by_name(whole):
    with pytest.raises(RunDirectoryError, match=r"seed was 0, not 5"):
        run(small_config(whole.path, seed=5), progress=False, resume=True)


def test_sessions_are_recorded(whole):
    sessions = json.loads((whole.path / "environment.json").read_text())["sessions"]
    assert sessions[0]["torch"] == torch.__version__.split("+")[0]
    assert sessions[0]["threads"] == 1
