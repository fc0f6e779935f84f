"""A search over learning rate and weight decay on images cut from the training set; every trial is a run directory.

Optuna proposes the trials and keeps them in a journal in the search's directory, so that it can be continued there,
also after it was killed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from netdeconv.experiments.running.rows import require_one_process
from netdeconv.experiments.running.search_space import Search, Space
from netdeconv.experiments.running.search_study import Study, quiet
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
    with quiet(), RunDirectory(path, name=name, resume=resume) as directory:
        if resume:
            _require_same(directory.path, settings, base)
        study = Study(base, space, directory.path, prune=prune)
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


def _plain(found: Search) -> dict[str, Any]:
    best = found.best
    return {
        "metric": found.metric,
        "trials": [dataclasses.asdict(trial) for trial in found.trials],
        "best": None if best is None else dataclasses.asdict(best),
    }
