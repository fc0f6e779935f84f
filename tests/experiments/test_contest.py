"""A contest chooses rates on images cut from train, reads the test images once, and says in words what it showed."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from netdeconv.data import info
from netdeconv.experiments import Contender, Plan, contest, in_words, read_plan
from netdeconv.experiments.running.rows import folder_of, read_history
from netdeconv.tasks import TASKS
from netdeconv.training import NetworkConfig, Silent, build_network, read_config
from small_runs import plain_config


def contender(name: str, *scores: float, searched=((0.1, 90.0), (0.01, 80.0)), seconds=0.1) -> Contender:
    return Contender(
        name=name, searched=dict(searched), lr=0.1, scores=scores, seconds=10 * seconds, seconds_per_step=seconds
    )


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ((95.0, 95.2, 95.1), "default wins by 5.00 points"),
        ((85.0, 85.2, 85.1), "default loses by 5.00 points"),
        ((90.0, 90.4, 90.2), "no difference beyond the noise of this run (+0.10 points, noise 0.26)"),
    ],
)
def test_the_last_line_says_wins_and_losses_beyond_the_seeds_spread_alone(scores, verdict):
    words = in_words([contender("batch_norm", 90.0, 90.2, 90.1), contender("default", *scores, seconds=0.2)])
    assert verdict in words
    assert "takes 2.00 times as long" in words


def test_the_range_of_rates_counts_those_near_the_best():
    wide = contender("default", 1.0, searched=((1.0, 86.5), (0.1, 90.0), (0.01, 85.9)))
    assert wide.trains_at == 2  # 4 points below the best, not 4.1
    assert "trains at 2 of 3 learning rates within 4 points" in in_words([contender("batch_norm", 1.0), wide])


def test_one_seed_shows_no_difference():
    assert "no difference" in in_words([contender("batch_norm", 10.0), contender("default", 99.0)])


@pytest.fixture
def plan(tmp_path) -> Plan:
    base = dataclasses.replace(plain_config(tmp_path, epochs=2), network=NetworkConfig(arch="linear"))
    base = dataclasses.replace(base, data=dataclasses.replace(base.data, validation_size=200, train_size=300))
    return Plan(base=base, names=("none", "paper"), lrs=(0.1, 1e-6), seeds=(0, 1), search_epochs=1)


def test_runs_differ_in_normalisation_and_learning_rate_alone_and_start_from_the_same_weights(plan):
    runs = [plan.run(name, lr=lr) for name in plan.names for lr in plan.lrs]
    assert {(run.network.norm.name, run.optimizer.lr) for run in runs} == {
        (name, lr) for name in plan.names for lr in plan.lrs
    }
    assert len({(run.epochs, run.seed, run.data, run.network.arch, run.network.width) for run in runs}) == 1
    weights = []
    for run in runs:
        torch.manual_seed(run.seed)
        weights.append(next(build_network(run.network, info("digits")).parameters()))
    assert all(torch.equal(weight, weights[0]) for weight in weights)
    with pytest.raises(ValueError, match=r"unknown norm 'chanel'; did you mean 'channel'\?"):
        plan.run("chanel", lr=0.1)


class Stop(Silent):
    """Ctrl-C when a run begins."""

    def __init__(self, label: str, at: str) -> None:
        self.is_reached = label == at

    def start(self, *, epochs: int, steps: int, first_epoch: int) -> None:
        if self.is_reached:
            raise KeyboardInterrupt


def test_rates_are_chosen_on_validation_images_and_finals_train_on_all(plan, tmp_path):
    """Stopped, it trains what is missing; a run that diverged is a rate that does not train, and is not tried again."""
    plan = dataclasses.replace(plan, lrs=(*plan.lrs, 1e30))
    path = tmp_path / "contest"
    with pytest.raises(KeyboardInterrupt):
        contest(plan, str(path), reporter=lambda label: Stop(label, "paper seed 0"))
    saved = read_plan(path, TASKS)
    assert saved == dataclasses.replace(plan, base=saved.base)
    assert saved.base.data == plan.base.data
    folder, found = contest(saved, str(path), resume=True, reporter=lambda label: Stop(label, "none lr 1e+30"))
    assert [one.name for one in found] == ["none", "paper"]
    for one in found:
        assert one.lr == 0.1  # a rate of 1e-6 learns nothing
        assert one.searched[0.1] > one.searched[1e-6] > one.searched[1e30] == 0.0
        assert len(one.scores) == 2
        (searched,) = read_history(folder_of(folder / "search", f"{one.name} lr 0.1"))
        final = read_history(folder_of(folder / "final", f"{one.name} seed 1"))
        assert searched["evaluated_on"] == "validation"
        assert [record["evaluated_on"] for record in final] == ["test", "test"]
        assert one.scores[1] == final[-1]["accuracy"]
        assert read_config(folder_of(folder / "final", f"{one.name} seed 1"))["data"]["validation_size"] == 0
    assert {"rates.png", "curves.png"} <= {file.name for file in folder.iterdir()}
    assert contest(saved, str(folder), resume=True)[1] == found


def test_without_validation_images_it_is_refused(plan):
    data = dataclasses.replace(plan.base.data, validation_size=0)
    with pytest.raises(ValueError, match="images cut from the training set"):
        dataclasses.replace(plan, base=dataclasses.replace(plan.base, data=data))
