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
from netdeconv.experiments.running.search_space import Search, Space, State, Trial
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
    with _quiet(), RunDirectory(path, name=name, resume=resume) as directory:
        if resume:
            _require_same(directory.path, settings, base)
        study = _open(directory.path, prune=prune)
        if not resume:
            for pair in space.grid() or []:
                study.enqueue_trial(pair)
            directory.write_json(CONFIG, {**settings, "run": to_plain(base), "notes": dict(notes or {})})
        found = Search(directory.path, _collect(study), base.task.metric)
        while len(found.trials) < trials and (space.grid() is None or _trials(study, "WAITING")):
            # Seeded by what is there, so that an interrupted search proposes what an uninterrupted one would have.
            _train(study, _proposed(study, space, base.seed + 1000 * len(found.trials)), base, directory.path, reporter)
            found = dataclasses.replace(found, trials=_collect(study))
            best = None if found.best is None else dataclasses.asdict(found.best)
            plain = [dataclasses.asdict(trial) for trial in found.trials]
            directory.write_json("sweep.json", {"metric": found.metric, "trials": plain, "best": best})
            noted(found)
        return found


def _require_same(path: Path, settings: Mapping[str, Any], base: TrainingConfig) -> None:
    saved = read_config(path)
    same = all(json.loads(json.dumps(settings[key])) == saved.get(key) for key in settings)
    if not same or differing_settings(base, saved["run"]):
        raise RunDirectoryError(f"{path} holds a search with other settings")


def _open(path: Path, *, prune: bool) -> optuna.Study:
    import optuna

    journal = optuna.storages.journal.JournalFileBackend(str(path / "search.journal"))
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(journal),
        study_name="sweep",
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4) if prune else optuna.pruners.NopPruner(),
        load_if_exists=True,
    )
    # What an earlier sitting left unfinished is queued again, in the folder that it began.
    for trial in _trials(study, "RUNNING"):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params, user_attrs={_FOLDER: _folder_of(trial)})
    return study


def _proposed(study: optuna.Study, space: Space, seed: int) -> optuna.Trial:
    import optuna

    study.sampler = optuna.samplers.TPESampler(seed=seed)
    axes = {"lr": (space.lr_range, space.lr_grid), "weight_decay": (space.wd_range, space.wd_grid)}
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.FloatDistribution(*limits, log=True)
        if values is None
        else optuna.distributions.CategoricalDistribution(values)
        for name, (limits, values) in axes.items()
    }
    return study.ask(distributions)


def _train(
    study: optuna.Study, trial: optuna.Trial, base: TrainingConfig, path: Path, reporter: Callable[[str], Reporter]
) -> None:
    """Train a trial, or what is left of it, and tell the study."""
    folder = _folder_of(trial)
    trial.set_user_attr(_FOLDER, folder)
    config = dataclasses.replace(base, optimizer=dataclasses.replace(base.optimizer, **trial.params))
    title = f"{folder} lr {trial.params['lr']:.2g} wd {trial.params['weight_decay']:.2g}"
    watcher = _Watcher(trial, config, reporter(title))
    for record in read_history(path / folder):  # of an earlier sitting
        watcher.report(record)
    try:
        ((_, trained),) = train_rows({folder: config}, path, reporter=lambda name: watcher)
    except _Pruned:
        study.tell(trial, state=_state("PRUNED"))
        return
    if isinstance(trained, Failure):
        trial.set_user_attr(_FAILED, trained.message)
    # No score is worse than 0, and the search learns to keep away.
    study.tell(trial, 0.0 if isinstance(trained, Failure) else trained.score)


def _collect(study: optuna.Study) -> tuple[Trial, ...]:
    """The trials that count."""
    found = []
    for trial in _trials(study, "COMPLETE", "PRUNED"):
        scores = trial.intermediate_values
        score = scores[max(scores)] if scores else None
        state: State = "finished" if trial.state == _state("COMPLETE") else "pruned"
        state = "diverged" if _FAILED in trial.user_attrs else state
        lr, weight_decay, folder = trial.params["lr"], trial.params["weight_decay"], _folder_of(trial)
        found.append(Trial(trial.number, lr, weight_decay, score, len(scores), state, folder))
    return tuple(found)


def _trials(study: optuna.Study, *states: str) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(states=tuple(map(_state, states)))


def _state(name: str) -> optuna.trial.TrialState:
    import optuna

    return optuna.trial.TrialState[name]


class _Watcher(Reporter):
    """Hands on what happens, tells the search of every epoch's score, and stops what is not worth going on with."""

    def __init__(self, trial: optuna.Trial, config: TrainingConfig, reporter: Reporter) -> None:
        self._trial, self._config, self._reporter = trial, config, reporter
        self._known = 0
        self.note, self.start, self.step = reporter.note, reporter.start, reporter.step  # type: ignore[method-assign]

    def epoch(self, record: Mapping[str, Any]) -> None:
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
def _quiet() -> Iterator[None]:
    """Optuna, which may warn, but does not tell of every trial."""
    try:
        import optuna
        import optuna.storages.journal
    except ModuleNotFoundError as error:
        raise RuntimeError("a search needs optuna: pip install 'netdeconv[train]'") from error
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _folder_of(trial: Any) -> str:
    return str(trial.user_attrs.get(_FOLDER, f"trial-{trial.number:03d}"))
