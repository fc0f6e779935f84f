"""A search over learning rate and weight decay on images cut from the training set; every trial is a run directory.

Optuna proposes the trials and keeps them in a journal in the search's directory, so that it can be continued there,
also after it was killed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netdeconv.experiments.running.rows import Failure, read_history, require_one_process, train_rows
from netdeconv.experiments.running.search_space import Axis, Search, Space, State, Trial
from netdeconv.training import (
    Reporter,
    RunDirectory,
    RunDirectoryError,
    TrainingConfig,
    differing_settings,
    read_config,
    to_plain,
)
from netdeconv.training.run_directory import CONFIG

if TYPE_CHECKING:  # it is imported when a search begins: other commands need not wait for it
    import optuna

TRIALS = "sweep.json"
_NAMES = ("lr", "weight_decay")
_FOLDER, _FAILED = "folder", "failure"


class _Pruned(Exception):  # noqa: N818 - it is no error
    """Training stops here, and the trial counts as pruned."""


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
    with _quiet() as optuna, RunDirectory(path, name=name, resume=resume) as directory:
        if resume:
            _require_same(directory.path, settings, base)
        study = _Study(optuna, base, space, directory.path, prune=prune)
        if not resume:
            for pair in space.grid() or []:
                study.study.enqueue_trial(pair)
            directory.write_json(CONFIG, {**settings, "run": to_plain(base), "notes": dict(notes or {})})
        while len(study.done()) < trials and study.train_next(reporter):
            found = study.collect()
            best = None if found.best is None else dataclasses.asdict(found.best)
            plain = [dataclasses.asdict(trial) for trial in found.trials]
            directory.write_json(TRIALS, {"metric": found.metric, "trials": plain, "best": best})
            noted(found)
        return study.collect()


def read_trials(folder: Path) -> tuple[Trial, ...]:
    """Return what a search has noted in its directory; nothing where there is none."""
    file = folder / TRIALS
    return tuple(Trial(**plain) for plain in json.loads(file.read_text("utf-8"))["trials"]) if file.exists() else ()


def _require_same(path: Path, settings: Mapping[str, Any], base: TrainingConfig) -> None:
    saved = read_config(path)
    same = all(json.loads(json.dumps(settings[key])) == saved.get(key) for key in settings)
    if not same or differing_settings(base, saved["run"]):
        raise RunDirectoryError(f"{path} holds a search with other settings")


class _Study:
    """Optuna's study of one search."""

    def __init__(self, optuna: Any, base: TrainingConfig, space: Space, path: Path, *, prune: bool) -> None:
        self._optuna, self._base, self._space, self._path = optuna, base, space, path
        journal = optuna.storages.journal.JournalFileBackend(str(path / "search.journal"))
        self.study = optuna.create_study(
            storage=optuna.storages.JournalStorage(journal),
            study_name="sweep",
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4) if prune else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        # What an earlier sitting left unfinished is queued again, in the folder that it began.
        for trial in self._trials("RUNNING"):
            self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            if set(trial.params) == set(_NAMES):
                self.study.enqueue_trial(trial.params, user_attrs={_FOLDER: _folder_of(trial)})

    def _trials(self, *states: str) -> list[optuna.trial.FrozenTrial]:
        kinds = tuple(self._optuna.trial.TrialState[state] for state in states)
        found: list[optuna.trial.FrozenTrial] = self.study.get_trials(states=kinds)
        return found

    def done(self) -> list[optuna.trial.FrozenTrial]:
        """Trials that count."""
        return self._trials("COMPLETE", "PRUNED")

    def train_next(self, reporter: Callable[[str], Reporter]) -> bool:
        """Train one more trial; False when a grid has no more."""
        if self._space.grid() is not None and not self._trials("WAITING"):
            return False
        # Seeded by what is there, so that an interrupted search proposes what an uninterrupted one would have.
        self.study.sampler = self._optuna.samplers.TPESampler(seed=self._base.seed + 1000 * len(self.done()))
        trial = self.study.ask({name: self._distribution(getattr(self._space, name)) for name in _NAMES})
        folder = _folder_of(trial)
        trial.set_user_attr(_FOLDER, folder)
        config = dataclasses.replace(self._base, optimizer=dataclasses.replace(self._base.optimizer, **trial.params))
        title = f"{folder} lr {trial.params['lr']:.2g} wd {trial.params['weight_decay']:.2g}"
        watcher = _Watcher(trial, config, reporter(title))
        for record in read_history(self._path / folder):  # of an earlier sitting
            watcher.report(record)
        try:
            ((_, trained),) = train_rows({folder: config}, self._path, reporter=lambda name: watcher)
        except _Pruned:
            self.study.tell(trial, state=self._optuna.trial.TrialState.PRUNED)
            return True
        if isinstance(trained, Failure):
            trial.set_user_attr(_FAILED, trained.message)
        # No score is worse than 0, and the search learns to keep away.
        self.study.tell(trial, 0.0 if isinstance(trained, Failure) else trained.score)
        return True

    def _distribution(self, axis: Axis) -> Any:
        if axis.values is None:
            return self._optuna.distributions.FloatDistribution(axis.low, axis.high, log=True)
        return self._optuna.distributions.CategoricalDistribution(axis.values)

    def collect(self) -> Search:
        """What there is so far."""
        metric = self._base.task.metric
        found = []
        for trial in self.done():
            history = read_history(self._path / _folder_of(trial))
            state: State = "diverged" if _FAILED in trial.user_attrs else "finished"
            state = "pruned" if trial.state == self._optuna.trial.TrialState.PRUNED else state
            score = history[-1][metric] if history else None
            found.append(
                Trial(
                    trial.number,
                    **trial.params,
                    score=score,
                    epochs=len(history),
                    state=state,
                    folder=_folder_of(trial),
                )
            )
        return Search(self._path, tuple(found), metric)


class _Watcher(Reporter):
    """Hands on what happens, tells the search of every epoch's score, and stops what is not worth going on with."""

    def __init__(self, trial: optuna.trial.Trial, config: TrainingConfig, reporter: Reporter) -> None:
        self._trial, self._config, self._reporter = trial, config, reporter
        self._known = 0

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
        self.report(record)
        if record["epoch"] < self._config.epochs and self._trial.should_prune():
            raise _Pruned

    def report(self, record: Mapping[str, Any]) -> None:
        """Note a score; an epoch that was trained again after its line was written is known already."""
        if record["epoch"] > self._known:
            self._known = int(record["epoch"])
            self._trial.report(float(record[self._config.task.metric]), self._known)


@contextlib.contextmanager
def _quiet() -> Iterator[Any]:
    """Optuna, which may warn, but does not tell of every trial."""
    try:
        import optuna
        import optuna.storages.journal
    except ModuleNotFoundError as error:
        raise RuntimeError("a search needs optuna: pip install 'netdeconv[train]'") from error
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield optuna
    finally:
        optuna.logging.set_verbosity(before)


def _folder_of(trial: Any) -> str:
    return str(trial.user_attrs.get(_FOLDER, f"trial-{trial.number:03d}"))
