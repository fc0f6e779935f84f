"""A search over learning rate and weight decay on images cut from the training set; every trial is a run directory.

Optuna proposes the trials and keeps them in a journal in the search's directory, so that it can be continued there,
also after it was killed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from netdeconv.recipes.rows import Failure, read_history, require_one_process, train_rows
from netdeconv.training import (
    Reporter,
    RunDirectory,
    RunDirectoryError,
    Silent,
    TrainingConfig,
    differing_settings,
    read_config,
    to_plain,
)
from netdeconv.training.run_directory import CONFIG

if TYPE_CHECKING:  # it is imported when a search begins: other commands need not wait for it
    import optuna

State = Literal["finished", "diverged", "pruned"]
_NAMES = ("lr", "weight_decay")
_FOLDER, _FAILED = "folder", "failure"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
    """The values of one setting: a range, in which values are drawn log-uniformly, or a list of them.

    Args:
        low: smallest value of the range.
        high: largest value of the range.
        values: the list; ``None``: the range counts.

    Raises:
        ValueError: when a number is out of range.
    """

    low: float
    high: float
    values: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.values is not None:
            if not self.values or not all(0 <= value < math.inf for value in self.values):
                raise ValueError(f"a grid needs values that are not negative, got {self.values}")
        elif not 0 < self.low < self.high < math.inf:
            raise ValueError(f"a range must be 0 < lowest < highest, got {self.low} and {self.high}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Space:
    """What is searched.

    Args:
        lr: learning rates.
        weight_decay: weight decays.
    """

    lr: Axis = dataclasses.field(default_factory=lambda: Axis(low=1e-3, high=1.0))
    weight_decay: Axis = dataclasses.field(default_factory=lambda: Axis(low=1e-5, high=1e-2))

    def grid(self) -> list[dict[str, float]] | None:
        """All trials, where both axes are lists."""
        if self.lr.values is None or self.weight_decay.values is None:
            return None
        pairs = itertools.product(self.lr.values, self.weight_decay.values)
        return [{"lr": lr, "weight_decay": weight_decay} for lr, weight_decay in pairs]


@dataclasses.dataclass(frozen=True)
class Trial:
    """One trained pair.

    Args:
        number: in the order of the proposals.
        lr: learning rate.
        weight_decay: weight decay.
        score: in per cent after the last epoch that was trained; ``None``: there is none.
        epochs: that were trained.
        state: whether all epochs were trained, the loss diverged, or the rest was not worth it.
        folder: its run directory, below that of the search.
    """

    number: int
    lr: float
    weight_decay: float
    score: float | None
    epochs: int
    state: State
    folder: str


@dataclasses.dataclass(frozen=True)
class Search:
    """What a search found.

    Args:
        path: its directory.
        trials: in the order of the proposals.
        metric: what the scores are.
    """

    path: Path
    trials: tuple[Trial, ...]
    metric: str

    @property
    def best(self) -> Trial | None:
        """The finished trial with the highest score; the first of equals."""
        finished = [trial for trial in self.trials if trial.state == "finished" and trial.score is not None]
        return max(finished, key=lambda trial: trial.score or 0.0, default=None)


def search(
    base: TrainingConfig,
    space: Space,
    path: str | Path | None,
    *,
    trials: int,
    prune: bool = False,
    notes: Mapping[str, Any] | None = None,
    resume: bool = False,
    reporter: Callable[[str], Reporter],
    noted: Callable[[Search], None] = lambda found: None,
) -> Search:
    """Train pairs of learning rate and weight decay until there are so many.

    Args:
        base: what all trials have in common; its data say how many images are cut from the training set.
        space: what is searched.
        path: the directory; ``None`` for a new one in ``runs``.
        trials: how many, those of earlier sittings included; a grid has no more than its pairs.
        prune: whether a trial is stopped after an epoch in which it is below the median of the others.
        notes: kept with the settings.
        resume: whether the directory holds a search to continue, with the same settings.
        reporter: who is told of a trial's progress, by its name.
        noted: is called after every trial.

    Raises:
        RunDirectoryError: when the directory is in use, taken, or holds another search.
        ValueError: when the trials would be judged by test images, a number is out of range, or a run is to be
            trained in several processes.
        RuntimeError: when optuna is not installed.
    """
    if base.data.validation_size == 0:
        raise ValueError(
            "a search chooses settings, which test images must not do: "
            "cut images for it from the training set with --validation-size"
        )
    if trials < 1:
        raise ValueError(f"trials must be at least 1, got {trials}")
    require_one_process(base)
    settings = {"space": dataclasses.asdict(space), "prune": prune}
    name = f"sweep-{base.network.arch.replace('/', '-')}-{base.data.dataset}"
    with _quiet(), RunDirectory(path, name=name, resume=resume) as directory:
        if resume:
            _require_same(directory.path, settings, base)
        study = _Study(base, space, directory.path, prune=prune)
        if not resume:
            study.begin()
            directory.write_json(CONFIG, {**settings, "run": to_plain(base), "notes": dict(notes or {})})
        while study.num_done < trials:
            if not study.train_next(reporter):
                break
            found = study.collect()
            directory.write_json("sweep.json", _plain(found))
            noted(found)
        return study.collect()


def _require_same(path: Path, settings: Mapping[str, Any], base: TrainingConfig) -> None:
    saved = read_config(path)
    same = all(json.loads(json.dumps(settings[key])) == saved.get(key) for key in settings)
    if not same or differing_settings(base, saved["run"]):
        raise RunDirectoryError(f"{path} holds a search with other settings")


class _Pruned(Exception):  # noqa: N818 - it is no error
    """Training stops here, and the trial counts as pruned."""


class _Study:
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


class _Watcher:
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
def _quiet() -> Iterator[None]:
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


def _plain(found: Search) -> dict[str, Any]:
    best = found.best
    return {
        "metric": found.metric,
        "trials": [dataclasses.asdict(trial) for trial in found.trials],
        "best": None if best is None else dataclasses.asdict(best),
    }
