"""SIGTERM, checkpoints within an epoch, and more epochs than a run had."""

from __future__ import annotations

import contextlib
import io
import os
import signal

import pytest

from faults.runs import require_same
from netdeconv.data import TrainingData
from netdeconv.tasks import Classification
from netdeconv.training import OptimizerConfig, PlainLines, RunDirectoryError, Silent, load_checkpoint, run
from netdeconv.training.stopping import noted_termination
from small_runs import StopAt, numbers, plain_config, small_config


class TerminateAt(StopAt):
    """SIGTERM to this process after a step, as a cluster sends it."""

    def step(self, *, epoch, step, images, loss):
        if (epoch, step) == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


class FirstStep(Silent):
    def __init__(self):
        self.first = None

    def step(self, *, epoch, step, images, loss):
        self.first = self.first or (epoch, step)


def settings(path, **changes):
    """Whitened, frozen at times, with averaged weights and images that are mixed at random."""
    return small_config(path, task=Classification(mixup=0.4), averaging=0.9, recalibration=2, epochs=2, **changes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(settings(tmp_path_factory.mktemp("whole") / "run"), progress=False)


# Within the first epoch, in the last step before an evaluation, within an epoch after one.
@pytest.mark.parametrize("moment", [(1, 3), (1, 9), (2, 7)])
def test_sigterm_saves_and_the_run_goes_on_bit_for_bit(tmp_path, whole, moment):
    before = signal.getsignal(signal.SIGTERM)
    config = settings(tmp_path / "run")
    with pytest.raises(SystemExit) as stop:
        run(config, progress=TerminateAt(*moment))
    assert stop.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    epoch, step = moment
    saved = load_checkpoint(tmp_path / "run/checkpoint.pt")
    assert (saved["epoch"], len(saved["within"]["losses"])) == (epoch - 1, step + 1)
    first = FirstStep()
    result = run(config, progress=first, resume=True)
    assert first.first == (epoch, step + 2) if step < 9 else (epoch + 1, 1)
    assert numbers(result.history) == numbers(whole.history)
    require_same(tmp_path / "run", whole.path)


def test_sigterm_that_ends_the_loader_first_saves(tmp_path, whole, monkeypatch):
    epoch = TrainingData.epoch

    def dying(self, number):
        for step, batch in enumerate(epoch(self, number)):
            if (number, step) == (2, 4):
                os.kill(os.getpid(), signal.SIGTERM)
                raise RuntimeError("a worker was killed")
            yield batch

    config = settings(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(TrainingData, "epoch", dying)
        with pytest.raises(SystemExit):
            run(config, progress=False)
    assert len(load_checkpoint(tmp_path / "run/checkpoint.pt")["within"]["losses"]) == 4
    run(config, progress=False, resume=True)
    require_same(tmp_path / "run", whole.path)


def test_a_long_epoch_is_saved_within(tmp_path, whole):
    config = settings(tmp_path / "run", checkpoint_minutes=1e-6)
    with pytest.raises(KeyboardInterrupt, match=r"^stopped; --resume .*run continues$"):
        run(config, progress=StopAt(2, 5))
    first = FirstStep()
    run(config, progress=first, resume=True)
    assert first.first == (2, 6)
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


def test_a_run_goes_on_to_more_epochs_where_its_learning_rate_is_constant(tmp_path):
    constant = OptimizerConfig(lr=0.02, schedule="constant")
    whole = run(plain_config(tmp_path / "whole", optimizer=constant, epochs=3), progress=False)
    run(plain_config(tmp_path / "run", optimizer=constant, epochs=1), progress=False)
    out = io.StringIO()
    more = plain_config(tmp_path / "run", optimizer=constant, epochs=3)
    result = run(more, progress=PlainLines(file=out), resume=True)
    assert numbers(result.history) == numbers(whole.history)
    assert "3 epochs instead of 1; the learning rate stays 0.02" in out.getvalue()
    assert run(more, progress=StopAt(1, 1), resume=True).history == result.history


def test_a_schedule_that_depends_on_the_epochs_keeps_them(tmp_path):
    run(plain_config(tmp_path / "run", epochs=1), progress=False)
    with pytest.raises(RunDirectoryError, match=r"epochs was 1, not 2 \(the cosine schedule depends on it"):
        run(plain_config(tmp_path / "run", epochs=2), progress=False, resume=True)
