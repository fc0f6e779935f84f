"""A search: what it proposes, what it keeps, how it goes on; never judged by test images."""

from __future__ import annotations

import dataclasses
import json

import pytest

from netdeconv.experiments import Space, search
from netdeconv.training import NetworkConfig, ParallelConfig, RunDirectoryError, Silent
from small_runs import numbers, plain_config

PAIRS = Space(lr_grid=(0.01, 0.3), wd_grid=(0.0, 1e-3))
RANGES = Space()


def base(path, **changes):
    config = plain_config(path)
    data = dataclasses.replace(config.data, validation_size=100)
    return dataclasses.replace(
        config, **{"data": data, "epochs": 1, "result_path": None, "precision": "32-true", **changes}
    )


def run(path, space=PAIRS, **changes):
    settings = {"trials": 4, "reporter": lambda name: Silent(), **changes}
    config = settings.pop("config", None) or base(path)
    return search(config, space, path / "s", **settings)


def test_a_grid_trains_every_pair_in_a_run_directory_of_its_own(tmp_path):
    found = run(tmp_path, trials=20)
    assert [(trial.lr, trial.weight_decay) for trial in found.trials] == [
        (0.01, 0.0),
        (0.01, 1e-3),
        (0.3, 0.0),
        (0.3, 1e-3),
    ]
    for trial in found.trials:
        folder = tmp_path / "s" / trial.folder
        saved = json.loads((folder / "config.json").read_text())
        assert (saved["optimizer"]["lr"], saved["optimizer"]["weight_decay"]) == (trial.lr, trial.weight_decay)
        record = json.loads((folder / "metrics.jsonl").read_text())
        assert (record["evaluated_on"], record["accuracy"]) == ("validation", trial.score)
        assert (trial.state, trial.epochs) == ("finished", 1)
    assert found.best.score == max(trial.score for trial in found.trials)
    summary = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert summary["best"]["folder"] == found.best.folder
    assert len(summary["trials"]) == 4


def test_ranges_are_searched_within_their_limits(tmp_path):
    space = Space(lr_range=(1e-3, 1e-1), wd_range=(1e-5, 1e-4))
    found = run(tmp_path, space, trials=3)
    assert len({trial.lr for trial in found.trials}) == 3
    assert all(1e-3 <= trial.lr <= 1e-1 and 1e-5 <= trial.weight_decay <= 1e-4 for trial in found.trials)
    mixed = Space(lr_range=(1e-3, 1e-1), wd_grid=(0.0,))
    assert {trial.weight_decay for trial in run(tmp_path / "mixed", mixed, trials=2).trials} == {0.0}


class Stop(Silent):
    """Ctrl-C at the first step of the given epoch of a trial."""

    def __init__(self, name: str, trial: str, epoch: int) -> None:
        self.at = (trial in name, epoch)

    def step(self, *, epoch: int, step: int, images: int, loss: float) -> None:
        del step, images, loss
        if (True, epoch) == self.at:
            raise KeyboardInterrupt


def test_an_interrupted_search_goes_on_to_the_same_trials(tmp_path):
    config = base(tmp_path, epochs=2)
    whole = run(tmp_path / "whole", RANGES, trials=3, config=config)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, RANGES, trials=3, config=config, reporter=lambda name: Stop(name, "trial-001", 2))
    with pytest.raises(RunDirectoryError, match="already holds"):
        run(tmp_path, RANGES, trials=3, config=config)
    resumed = run(tmp_path, RANGES, trials=3, config=config, resume=True)
    assert [(t.lr, t.weight_decay, t.score) for t in resumed.trials] == [
        (t.lr, t.weight_decay, t.score) for t in whole.trials
    ]
    # the trial that was stopped went on from its first epoch, in its folder
    lines = [
        numbers(json.loads(line) for line in (folder / "trial-001" / "metrics.jsonl").read_text().splitlines())
        for folder in (tmp_path / "s", tmp_path / "whole" / "s")
    ]
    assert lines[0] == lines[1]
    more = run(tmp_path, RANGES, trials=4, config=config, resume=True)
    assert more.trials[:3] == resumed.trials
    assert len(more.trials) == 4


def test_a_trial_that_diverges_is_the_worst(tmp_path):
    space = dataclasses.replace(PAIRS, lr_grid=(1e30, 0.01))
    network = NetworkConfig(arch="lenet", width=0.5)
    found = run(tmp_path, space, trials=4, config=base(tmp_path, network=network))
    assert [trial.state for trial in found.trials] == ["diverged", "diverged", "finished", "finished"]
    assert found.trials[0].score is None
    assert found.best.lr == 0.01


def test_a_hopeless_trial_is_stopped_when_asked(tmp_path):
    values = (0.3, 0.2, 0.1, 0.05, 1e-7)
    space = Space(lr_grid=values, wd_grid=(0.0,))
    config = base(tmp_path, epochs=3)
    found = run(tmp_path, space, trials=5, prune=True, config=config)
    assert [trial.state for trial in found.trials] == ["finished"] * 4 + ["pruned"]
    assert [trial.epochs for trial in found.trials] == [3, 3, 3, 3, 1]
    assert found.best.lr != 1e-7


def test_what_makes_no_sense_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="cut images for it from the training set with --validation-size"):
        run(tmp_path, config=plain_config(tmp_path))
    with pytest.raises(ValueError, match="trials must be at least 1, got 0"):
        run(tmp_path, trials=0)
    with pytest.raises(ValueError, match="several processes train one run"):
        run(tmp_path, config=base(tmp_path, parallel=ParallelConfig(devices=2)))
    with pytest.raises(ValueError, match=r"a range must be 0 < lowest < highest, got 0\.0 and 1\.0"):
        Space(lr_range=(0.0, 1.0))
    with pytest.raises(ValueError, match="a grid needs values that are not negative"):
        Space(wd_grid=(0.1, -1.0))
    assert not list(tmp_path.iterdir())


def test_another_search_s_directory_is_refused(tmp_path):
    run(tmp_path, trials=1)
    with pytest.raises(RunDirectoryError, match="holds a search with other settings"):
        run(tmp_path, RANGES, resume=True)
    with pytest.raises(RunDirectoryError, match="holds a search with other settings"):
        run(tmp_path, resume=True, config=base(tmp_path, seed=3))
