"""A contest chooses rates on images cut from train, reads the test images once, and says in words what it showed."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from faked_training import fake, labels
from netdeconv.data.registry import info
from netdeconv.experiments.running.contest import Contest, Plan, in_words
from netdeconv.experiments.running.experiment import experiment
from netdeconv.experiments.running.runner import reproduce
from netdeconv.tasks import Classification
from netdeconv.training.config import NetworkConfig
from small_runs import plain_config


def line(name: str, test: float, spread: float | None = 0.1, searched=(90.0, 80.0), step=100.0, seeds=3):
    rates = {f"lr {10.0**-number:g}": score for number, score in enumerate(searched)}
    return {"normalisation": name, **rates, "test": test, "spread": spread, "seeds": seeds, "ms/step": step}


@pytest.mark.parametrize(
    ("test", "verdict"),
    [
        (95.1, "default wins by 5.00 points"),
        (85.1, "default loses by 5.00 points"),
        (90.2, "no difference beyond the noise of this run (+0.10 points, noise 0.16)"),
    ],
)
def test_the_last_line_says_wins_and_losses_beyond_the_seeds_spread_alone(test, verdict):
    words = in_words([line("batch_norm", 90.1), line("default", test, step=200.0)])
    assert verdict in words
    assert "takes 2.00 times as long" in words


def test_the_range_of_rates_counts_those_near_the_best():
    wide = line("default", 1.0, searched=(86.5, 90.0, 85.9))  # 4 points below the best, not 4.1
    assert "trains at 2 of 3 learning rates within 4 points" in in_words([line("batch_norm", 1.0), wide])


def test_one_seed_shows_no_difference():
    assert "no difference" in in_words([line("batch_norm", 10.0, None, seeds=1), line("default", 99.0, None, seeds=1)])


@pytest.fixture
def plan(tmp_path) -> Plan:
    base = dataclasses.replace(plain_config(tmp_path, epochs=2), network=NetworkConfig(arch="linear"))
    base = dataclasses.replace(base, data=dataclasses.replace(base.data, validation_size=200, train_size=300))
    return Plan(base, Contest(variants=("none", "paper"), lrs=(0.1, 1e-6), seeds=(0, 1), search_epochs=1))


def test_runs_differ_in_normalisation_and_learning_rate_alone_and_start_from_the_same_weights(plan):
    runs = [row.config for row in plan.experiment().rows.values()]
    assert {(run.network.norm.name, run.optimizer.lr) for run in runs} == {
        (name, lr) for name in plan.contest.variants for lr in plan.contest.lrs
    }
    assert len({(run.epochs, run.seed, run.data, run.network.arch, run.network.width) for run in runs}) == 1
    weights = []
    for run in runs:
        torch.manual_seed(run.seed)
        weights.append(next(Classification().build_network(run.network, info("digits")).parameters()))
    assert all(torch.equal(weight, weights[0]) for weight in weights)
    with pytest.raises(ValueError, match=r"unknown norm 'chanel'; did you mean 'channel'\?"):
        Plan(plan.base, Contest(variants=("chanel",))).experiment()


def test_rates_are_chosen_on_validation_images_and_finals_train_on_all(plan, tmp_path, monkeypatch):
    """Stopped, it trains what is missing; a run that diverged is a rate that does not train, and is not tried again."""
    plan, path = Plan(plan.base, dataclasses.replace(plan.contest, lrs=(*plan.contest.lrs, 1e30))), tmp_path / "contest"

    def score(config):
        return None if config.optimizer.lr > 1 else 60.0 + config.optimizer.lr + config.seed

    def stopping(config):
        if config.network.norm.name == "paper" and not config.data.validation_size:
            raise KeyboardInterrupt
        return score(config)

    fake(monkeypatch, stopping)
    with pytest.raises(KeyboardInterrupt):
        reproduce(plan.experiment(), (), path)
    trained = fake(monkeypatch, score)
    found = reproduce(plan.experiment(), (), path)
    assert labels(trained) == ["paper,_seed_0", "none,_seed_1", "paper,_seed_1"]
    assert {(config.data.validation_size, config.epochs, config.optimizer.lr) for config in trained} == {(0, 2, 0.1)}
    for number, own in enumerate(found.lines()):
        assert own == {
            **{
                "data": "digits",
                "normalisation": plan.contest.variants[number],
                "lr 0.1": 60.1,
                "lr 1e-06": 60.0,
                "lr 1e+30": 0.0,
            },
            **{"best lr": 0.1, "weight decay": plan.base.optimizer.weight_decay},
            **{"test": 60.6, "spread": 0.71, "seeds": 2},
            **{"ms/step": [2000.0, 2400.0][number], "seconds": [20.0, 24.0][number]},
        }
    with pytest.raises(RuntimeError, match="holds no rows of mnist-mlp"):
        reproduce(experiment("mnist-mlp"), (), path)


def test_a_part_of_the_search_is_enough_for_the_finals_that_follow_from_it(plan, tmp_path, monkeypatch):
    fake(monkeypatch, lambda config: 60.0 - config.optimizer.lr)
    reproduce(plan.experiment(), ["none, search lr 0.1*"], tmp_path / "contest")
    trained = fake(monkeypatch, lambda config: 70.0)
    with pytest.raises(ValueError, match=r"unknown row of .*'paper, seed 0'.*; further rows follow"):
        reproduce(plan.experiment(), ["paper, seed 0"], tmp_path / "contest")
    reproduce(plan.experiment(), ["none, seed 0"], tmp_path / "contest")
    assert labels(trained) == ["none,_seed_0"]
    assert [config.optimizer.lr for config in trained] == [0.1]


def test_weight_decays_are_searched_with_every_rate(plan, tmp_path, monkeypatch):
    plan = dataclasses.replace(plan, contest=dataclasses.replace(plan.contest, weight_decays=(1e-3, 5e-3)))
    fake(monkeypatch, lambda config: 60.0 + config.optimizer.lr + 1000 * config.optimizer.weight_decay)
    for own in reproduce(plan.experiment(), (), tmp_path / "contest").lines():
        found = {key: own[key] for key in ("lr 0.1", "lr 1e-06", "best lr", "weight decay", "test")}
        assert found == {"lr 0.1": 65.1, "lr 1e-06": 65.0, "best lr": 0.1, "weight decay": 5e-3, "test": 65.1}


def test_without_validation_images_it_is_refused(plan):
    data = dataclasses.replace(plan.base.data, validation_size=0)
    with pytest.raises(ValueError, match="images cut from the training set"):
        dataclasses.replace(plan, base=dataclasses.replace(plan.base, data=data))
