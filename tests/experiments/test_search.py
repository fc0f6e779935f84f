"""A search: what it proposes, what it keeps, how it goes on; never judged by test images."""

from __future__ import annotations

import dataclasses
import json

import pytest

from faked_training import fake, labels
from netdeconv.experiments.running.runner import reproduce
from netdeconv.experiments.running.search import Space, search
from small_runs import plain_config

PAIRS = Space(lr_grid=(0.01, 0.3), wd_grid=(0.0, 1e-3))
RANGES = Space(lr_range=(1e-3, 1e-1), wd_range=(1e-5, 1e-4))


@pytest.fixture
def base(tmp_path):
    config = plain_config(tmp_path, epochs=1)
    return dataclasses.replace(config, data=dataclasses.replace(config.data, validation_size=100), result_path=None)


def score(config):
    return None if config.optimizer.lr == 0.3 else 50 + 100 * config.optimizer.lr - config.optimizer.weight_decay


def pairs(found):
    return [(row.row.config.optimizer.lr, row.row.config.optimizer.weight_decay) for row in found.rows]


def test_a_grid_trains_every_pair_in_a_run_directory_of_its_own_and_what_diverges_is_the_worst(
    base, tmp_path, monkeypatch
):
    trained = fake(monkeypatch, score)
    found = reproduce(search(base, PAIRS, 20), (), tmp_path / "s")
    assert pairs(found) == [(0.01, 0.0), (0.01, 1e-3), (0.3, 0.0), (0.3, 1e-3)]
    assert len(set(labels(trained))) == 4
    table = json.loads((tmp_path / "s" / "summary.json").read_text())["table"]
    assert [line["state"] for line in table] == ["finished", "finished", "diverged", "diverged"]
    assert (table[0]["lr"], table[0]["weight decay"], table[0]["score"]) == (0.01, 0.0, 51.0)
    assert len(reproduce(search(base, PAIRS, 2), (), tmp_path / "two").rows) == 2


def test_ranges_are_searched_within_their_limits(base, tmp_path, monkeypatch):
    fake(monkeypatch, score)
    found = pairs(reproduce(search(base, RANGES, 3), (), tmp_path / "s"))
    assert len({lr for lr, _ in found}) == 3
    assert all(1e-3 <= lr <= 1e-1 and 1e-5 <= decay <= 1e-4 for lr, decay in found)
    mixed = Space(lr_range=(1e-3, 1e-1), wd_grid=(0.0,))
    assert {decay for _, decay in pairs(reproduce(search(base, mixed, 2), (), tmp_path / "mixed"))} == {0.0}


def test_an_interrupted_search_goes_on_to_the_same_trials(base, tmp_path, monkeypatch):
    fake(monkeypatch, score)
    whole = pairs(reproduce(search(base, RANGES, 13), (), tmp_path / "whole"))

    def stopping(config):
        if config.optimizer.lr == whole[11][0]:
            raise KeyboardInterrupt
        return score(config)

    fake(monkeypatch, stopping)
    with pytest.raises(KeyboardInterrupt):
        reproduce(search(base, RANGES, 12), (), tmp_path / "s")
    trained = fake(monkeypatch, score)
    # One more trial than was asked for at first.
    assert pairs(reproduce(search(base, RANGES, 13), (), tmp_path / "s")) == whole
    assert [config.optimizer.lr for config in trained] == [lr for lr, _ in whole[11:]]
    # What was found decides what is tried, once there are enough trials for optuna to model.
    fake(monkeypatch, lambda config: 100 - score(config))
    other = pairs(reproduce(search(base, RANGES, 13), (), tmp_path / "other"))
    assert other[0] == whole[0]
    assert other[11:] != whole[11:]


def test_what_makes_no_sense_is_refused_and_leaves_nothing(base, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="cut images for it from the training set with --validation-size"):
        search(plain_config(tmp_path), PAIRS, 4)
    with pytest.raises(ValueError, match="trials must be at least 1, got 0"):
        search(base, PAIRS, 0)
    with monkeypatch.context() as patch:
        patch.setattr("torch.distributed.is_torchelastic_launched", lambda: True)
        with pytest.raises(ValueError, match="several processes train one run"):
            reproduce(search(base, PAIRS, 4), (), tmp_path / "s")
    with pytest.raises(ValueError, match=r"a range must be 0 < lowest < highest, got 0\.0 and 1\.0"):
        Space(lr_range=(0.0, 1.0))
    with pytest.raises(ValueError, match="a grid needs values that are not negative"):
        Space(lr_grid=(-1.0,))
    assert not (tmp_path / "s").exists()
