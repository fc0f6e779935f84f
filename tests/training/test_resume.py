"""A run stopped at any moment, by the keyboard, SIGTERM or a fault, goes on to the same numbers, bit for bit."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest
import torch

from faults.runs import require_same
from netdeconv.data.batches import TrainingData
from netdeconv.data.config import DataConfig
from netdeconv.tasks import Classification
from netdeconv.training.checkpoint import load_checkpoint
from netdeconv.training.config import OptimizerConfig
from netdeconv.training.devices import noted_termination
from netdeconv.training.progress import Reporter, reporters
from netdeconv.training.run_directory import RunDirectory, RunDirectoryError
from netdeconv.training.session import run
from small_runs import StopAt, numbers, plain_config, small_config


class TerminateAt(StopAt):
    """SIGTERM to this process after a step, as a cluster sends it."""

    def step(self, *, epoch, step, images, loss):
        if (epoch, step) == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


class FirstStep(Reporter):
    def __init__(self):
        self.first = None

    def step(self, *, epoch, step, images, loss):
        self.first = self.first or (epoch, step)


def settings(path, **changes):
    """Five steps an epoch: whitened, frozen at times, with averaged weights and images that are mixed at random."""
    data = DataConfig(dataset="digits", train_size=160, batch_size=32, evaluation_size=100)
    task = Classification(mixup=0.4)
    return small_config(path, data=data, task=task, averaging=0.9, recalibration=2, epochs=2, **changes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run."""
    return run(settings(tmp_path_factory.mktemp("whole") / "run"))


# Before anything was saved, and at the very end; tests/faults has many more.
@pytest.mark.parametrize("moment", [(1, 4), (2, 5)])
def test_a_run_stopped_by_the_keyboard_resumes_bit_for_bit(tmp_path, whole, moment):
    config = settings(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt, match=r"--resume .*run"):
        run(config, progress=StopAt(*moment))
    result = run(config, resume=True)
    assert numbers(result.history) == numbers(whole.history)
    require_same(tmp_path / "run", whole.path)


# Within the first epoch, in the last step before an evaluation, within an epoch after one.
@pytest.mark.parametrize("moment", [(1, 2), (1, 4), (2, 3)])
def test_sigterm_saves_and_the_run_goes_on_bit_for_bit(tmp_path, whole, moment):
    before = signal.getsignal(signal.SIGTERM)
    config = settings(tmp_path / "run")
    with pytest.raises(SystemExit) as stop:
        run(config, progress=TerminateAt(*moment))
    assert stop.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    epoch, step = moment
    saved = load_checkpoint(tmp_path / "run/checkpoint.pt")
    assert (saved["epoch"], len(saved["processes"][0]["losses"])) == (epoch - 1, step + 1)
    first = FirstStep()
    run(config, progress=first, resume=True)
    assert first.first == ((epoch, step + 2) if step < 4 else (epoch + 1, 1))
    require_same(tmp_path / "run", whole.path)


def test_sigterm_that_ends_the_loader_first_saves(tmp_path, whole, monkeypatch):
    epoch = TrainingData.epoch

    def dying(self, number):
        for step, batch in enumerate(epoch(self, number)):
            if (number, step) == (2, 3):
                os.kill(os.getpid(), signal.SIGTERM)
                raise RuntimeError("a worker was killed")
            yield batch

    config = settings(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(TrainingData, "epoch", dying)
        with pytest.raises(SystemExit):
            run(config)
    assert len(load_checkpoint(tmp_path / "run/checkpoint.pt")["processes"][0]["losses"]) == 3
    run(config, resume=True)
    require_same(tmp_path / "run", whole.path)


def test_a_long_epoch_is_saved_within(tmp_path, whole):
    config = settings(tmp_path / "run", checkpoint_minutes=1e-6)
    with pytest.raises(KeyboardInterrupt, match=r"^stopped; --resume .*run continues$"):
        run(config, progress=StopAt(2, 3))
    first = FirstStep()
    run(config, progress=first, resume=True)
    assert first.first == (2, 4)
    require_same(tmp_path / "run", whole.path)


def test_sigterm_that_nobody_acted_on_ends_the_process_after_all():
    with contextlib.ExitStack() as stack:
        terminated = stack.enter_context(noted_termination())
        assert not terminated()
        os.kill(os.getpid(), signal.SIGTERM)
        assert terminated()
        with pytest.raises(SystemExit) as stop:
            stack.close()
    assert stop.value.code == 143


def test_a_stop_between_checkpoint_and_metrics_leaves_whole_metrics(tmp_path, whole, monkeypatch):
    config = settings(tmp_path / "run")
    write = RunDirectory.write_metrics

    def stop_at_second(self, history):
        if len(history) == 2:
            raise KeyboardInterrupt
        write(self, history)

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "write_metrics", stop_at_second)
        with pytest.raises(KeyboardInterrupt):
            run(config)
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["epoch"] == 2
    # As after a power cut in the midst of a line.
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "trai')
    run(config, resume=True)
    require_same(tmp_path / "run", whole.path)


def test_a_stop_while_the_checkpoint_is_written_keeps_the_old_one(tmp_path, whole, monkeypatch):
    config = settings(tmp_path / "run")
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
            run(config)
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["epoch"] == 1
    run(config, resume=True)
    require_same(tmp_path / "run", whole.path)


def test_resuming_a_finished_run_trains_nothing_and_keeps_its_numbers(whole):
    again = run(settings(whole.path), progress=StopAt(1, 1), resume=True)
    assert again.history == whole.history


def test_resuming_with_other_settings_is_refused_by_name(whole):
    with pytest.raises(RunDirectoryError, match=r"seed was 0, not 5"):
        run(settings(whole.path, seed=5), resume=True)


def test_sessions_are_recorded(whole):
    sessions = json.loads((whole.path / "environment.json").read_text())["sessions"]
    assert sessions[0]["torch"] == torch.__version__.split("+")[0]
    assert sessions[0]["threads"] == 1


def test_a_run_goes_on_to_more_epochs_where_its_learning_rate_is_constant(tmp_path, capsys):
    constant = OptimizerConfig(lr=0.02, schedule="constant")
    whole = run(plain_config(tmp_path / "whole", optimizer=constant, epochs=3))
    run(plain_config(tmp_path / "run", optimizer=constant, epochs=1))
    more = plain_config(tmp_path / "run", optimizer=constant, epochs=3)
    capsys.readouterr()
    with reporters() as named:
        result = run(more, progress=named("more"), resume=True)
    assert numbers(result.history) == numbers(whole.history)
    assert "; 3 epochs instead of 1" in capsys.readouterr().out
    assert run(more, progress=StopAt(1, 1), resume=True).history == result.history


def test_a_schedule_that_depends_on_the_epochs_keeps_them(tmp_path):
    run(plain_config(tmp_path / "run", epochs=1))
    with pytest.raises(RunDirectoryError, match=r"epochs was 1, not 2 \(the cosine schedule depends on it"):
        run(plain_config(tmp_path / "run", epochs=2), resume=True)
