"""Optuna's part of a search: which pair is next, what became of the others, and what an earlier sitting left."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netdeconv.experiments.running.rows import Failure, read_history, train_rows
from netdeconv.experiments.running.search_space import Axis, Search, Space, State, Trial
from netdeconv.training import Reporter, Silent, TrainingConfig

if TYPE_CHECKING:  # it is imported when a search begins: other commands need not wait for it
    import optuna

_NAMES = ("lr", "weight_decay")
_FOLDER, _FAILED = "folder", "failure"


class _Pruned(Exception):  # noqa: N818 - it is no error
    """Training stops here, and the trial counts as pruned."""


class Study:
    """Optuna's study of one search."""

    def __init__(self, base: TrainingConfig, space: Space, path: Path, *, prune: bool) -> None:
        self._optuna = _optuna()
        self.base, self.space, self.path = base, space, path
        journal = self._optuna.storages.journal.JournalFileBackend(str(path / "search.journal"))
        pruner = self._optuna.pruners.MedianPruner(n_startup_trials=4) if prune else self._optuna.pruners.NopPruner()
        self.study = self._optuna.create_study(
            storage=self._optuna.storages.JournalStorage(journal),
            study_name="sweep",
            direction="maximize",
            pruner=pruner,
            load_if_exists=True,
        )
        self._take_up()

    def begin(self) -> None:
        """Queue the pairs of a grid."""
        for pair in self.space.grid() or []:
            self.study.enqueue_trial(pair)

    def _take_up(self) -> None:
        """Queue again what an earlier sitting left unfinished, in the folder that it began."""
        states = self._optuna.trial.TrialState
        for trial in self.study.get_trials(states=(states.RUNNING,)):
            self.study.tell(trial.number, state=states.FAIL)
            if set(trial.params) == set(_NAMES):
                self.study.enqueue_trial(trial.params, user_attrs={_FOLDER: _folder_of(trial)})

    @property
    def num_done(self) -> int:
        """Trials that count."""
        return len(self._done())

    def _done(self) -> list[optuna.trial.FrozenTrial]:
        states = self._optuna.trial.TrialState
        done: list[optuna.trial.FrozenTrial] = self.study.get_trials(states=(states.COMPLETE, states.PRUNED))
        return done

    def train_next(self, reporter: Callable[[str], Reporter]) -> bool:
        """Train one more trial; False when a grid has no more."""
        states = self._optuna.trial.TrialState
        waiting = self.study.get_trials(states=(states.WAITING,))
        if self.space.grid() is not None and not waiting:
            return False
        # Seeded by what is there, so that an interrupted search proposes what an uninterrupted one would have.
        self.study.sampler = self._optuna.samplers.TPESampler(seed=self.base.seed + 1000 * self.num_done)
        trial = self.study.ask({name: self._distribution(getattr(self.space, name)) for name in _NAMES})
        folder = _folder_of(trial)
        trial.set_user_attr(_FOLDER, folder)
        config = dataclasses.replace(self.base, optimizer=dataclasses.replace(self.base.optimizer, **trial.params))
        watcher = _Watcher(trial, self.base.task.metric, self.base.epochs)
        watcher.recall(read_history(self.path / folder))
        try:
            ((_, trained),) = train_rows(
                {folder: config}, self.path, reporter=lambda name: watcher.over(reporter(_title(name, trial)))
            )
        except _Pruned:
            self.study.tell(trial, state=states.PRUNED)
            return True
        if isinstance(trained, Failure):
            trial.set_user_attr(_FAILED, trained.message)
            self.study.tell(trial, 0.0)  # no score is worse, and the search learns to keep away
        else:
            self.study.tell(trial, trained.score)
        return True

    def _distribution(self, axis: Axis) -> Any:
        if axis.values is None:
            return self._optuna.distributions.FloatDistribution(axis.low, axis.high, log=True)
        return self._optuna.distributions.CategoricalDistribution(axis.values)

    def collect(self) -> Search:
        """What there is so far."""
        pruned = self._optuna.trial.TrialState.PRUNED
        found = []
        for trial in self._done():
            history = read_history(self.path / _folder_of(trial))
            state: State = "diverged" if _FAILED in trial.user_attrs else "finished"
            found.append(
                Trial(
                    number=trial.number,
                    lr=trial.params["lr"],
                    weight_decay=trial.params["weight_decay"],
                    score=history[-1][self.base.task.metric] if history else None,
                    epochs=len(history),
                    state="pruned" if trial.state == pruned else state,
                    folder=_folder_of(trial),
                )
            )
        return Search(self.path, tuple(found), self.base.task.metric)


class _Watcher(Reporter):
    """Hands on what happens, tells the search of every epoch's score, and stops what is not worth going on with."""

    def __init__(self, trial: optuna.trial.Trial, metric: str, epochs: int) -> None:
        self._trial, self._metric, self._epochs = trial, metric, epochs
        self._known = 0
        self._reporter: Reporter = Silent()

    def recall(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Tell of epochs that an earlier sitting trained."""
        for record in history:
            self._report(record)

    def over(self, reporter: Reporter) -> Reporter:
        """Return itself, in front of another reporter."""
        self._reporter = reporter
        return self

    def note(self, text: str) -> None:
        """Hand it on."""
        self._reporter.note(text)

    def start(self, *, epochs: int, steps: int, first_epoch: int) -> None:
        """Hand it on."""
        self._reporter.start(epochs=epochs, steps=steps, first_epoch=first_epoch)

    def step(self, *, epoch: int, step: int, images: int, loss: float) -> None:
        """Hand it on."""
        self._reporter.step(epoch=epoch, step=step, images=images, loss=loss)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Judge the score."""
        self._reporter.epoch(record)
        self._report(record)
        if record["epoch"] < self._epochs and self._trial.should_prune():
            raise _Pruned

    def _report(self, record: Mapping[str, Any]) -> None:
        """An epoch that was trained again after its line was written is known already."""
        if record["epoch"] > self._known:
            self._known = int(record["epoch"])
            self._trial.report(float(record[self._metric]), self._known)


def _optuna() -> Any:
    try:
        import optuna
        import optuna.storages.journal
    except ModuleNotFoundError as error:
        raise RuntimeError("a search needs optuna: pip install 'netdeconv[train]'") from error
    return optuna


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let optuna warn, but not tell of every trial."""
    logging = _optuna().logging
    before = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _folder_of(trial: Any) -> str:
    return str(trial.user_attrs.get(_FOLDER, f"trial-{trial.number:03d}"))


def _title(name: str, trial: Any) -> str:
    return f"{name} lr {trial.params['lr']:.2g} wd {trial.params['weight_decay']:.2g}"
