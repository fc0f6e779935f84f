"""A comparison is fair: equal starts and budgets; its table says what its runs measured."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from netdeconv.data import info
from netdeconv.experiments import compare, plan, seconds_to
from netdeconv.experiments.running.families import norm_config
from netdeconv.models import NormConfig
from netdeconv.nn import WhitenedLayer
from netdeconv.training import NetworkConfig, RunDirectoryError, Silent, build_network
from small_runs import numbers, plain_config

CHANGES = {"group_size": 4, "linear_group_size": 16}


def small_plan(path, names=("batch_norm", "channel", "paper"), lrs=(0.1, 0.02)):
    base = plain_config(path, epochs=2)
    network = NetworkConfig(arch="lenet", width=0.5)
    return plan(type(base)(**{**vars(base), "network": network}), list(names), changes=CHANGES, baseline_lrs=list(lrs))


def whitened(arch: str, name: str) -> dict[str, tuple[str, int, int]]:
    config = NetworkConfig(arch=arch, width=0.25, norm=norm_config(name, CHANGES))
    network = build_network(config, info("digits"))
    return {
        module_name: (
            module.whitening.structure,
            module.whitening.group_size,
            module.whitening.num_iterations,
        )
        for module_name, module in network.named_modules()
        if isinstance(module, WhitenedLayer)
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("batch_norm", {}),
        ("stem", {"0": ("full", 4, 15)}),
        ("channel", {"0": ("channel", 4, 5), "4": ("channel", 4, 5), "9": ("full", 16, 5)}),
        ("default", {"0": ("full", 4, 5), "4": ("channel", 4, 5), "9": ("full", 16, 5)}),
        ("paper", {"0": ("full", 4, 15), "4": ("full", 4, 5), "9": ("full", 16, 5)}),
        ("full16", {"0": ("full", 4, 15), "4": ("full", 4, 5), "9": ("full", 16, 5)}),
    ],
)
def test_normalisations_whiten_what_they_say(name, expected):
    found = whitened("lenet", name)
    assert {layer: found[layer] for layer in expected} == expected
    assert ("9" in found) == (name not in ("batch_norm", "stem"))
    assert (len(found) == 1) == (name == "stem")


@pytest.mark.parametrize("name", ["none", "group_norm"])
def test_other_norms_whiten_no_input(name):
    assert norm_config(name, CHANGES) == NormConfig(name=name)
    assert not whitened("lenet", name)


def test_a_network_without_convolutions_has_no_stem():
    assert whitened("mlp", "paper") == dict.fromkeys(("1", "4", "7", "10"), ("full", 16, 5))


def test_all_runs_start_from_the_same_weights():
    weights = []
    for config in small_plan("unused").values():
        torch.manual_seed(config.seed)
        weights.append(build_network(config.network, info("digits"))[0].weight)
    assert len(weights) == 4
    assert all(torch.equal(weight, weights[0]) for weight in weights)


def test_runs_differ_in_normalisation_and_learning_rate_alone(tmp_path):
    runs = small_plan(tmp_path)
    assert {label: config.optimizer.lr for label, config in runs.items()} == {
        "batch_norm lr 0.1": 0.1,
        "batch_norm lr 0.02": 0.02,
        "channel": 0.02,
        "paper": 0.02,
    }
    assert len({(c.epochs, c.seed, c.data, c.network.arch, c.network.width) for c in runs.values()}) == 1
    assert list(small_plan(tmp_path, ["batch_norm"], [0.1, 0.1])) == ["batch_norm"]


def test_an_unknown_variant_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(ValueError, match=r"unknown norm 'chanel'; did you mean 'channel'\?"):
        small_plan(tmp_path, ["chanel"])


def test_the_table_says_what_the_runs_measured(tmp_path):
    runs = small_plan(tmp_path / "unused")
    comparison = compare(runs, str(tmp_path / "c"))
    assert [row.label for row in comparison.rows] == list(runs)
    lines = [json.loads(line) for line in (tmp_path / "c" / "metrics.jsonl").read_text().splitlines()]
    for row in comparison.rows:
        own = [line for line in lines if line["run"] == row.label]
        assert row.scores == tuple(line["accuracy"] for line in own)
        assert row.seconds == own[-1]["cumulative_seconds"]
        assert row.seconds_to_baseline == seconds_to(own, comparison.baseline)
        saved = (tmp_path / "c" / row.label.replace(" ", "_") / "metrics.jsonl").read_text().splitlines()
        assert [{"run": row.label, **json.loads(line)} for line in saved] == own
    assert comparison.baseline == max(max(row.scores) for row in comparison.rows[:2])
    assert (tmp_path / "c" / "curves.png").stat().st_size > 10_000
    assert not (tmp_path / "unused").exists()


def test_seconds_to_an_accuracy_are_those_of_the_first_epoch_that_has_it():
    history = [
        {"accuracy": accuracy, "cumulative_seconds": seconds}
        for accuracy, seconds in ((50.0, 1.0), (70.0, 2.0), (60.0, 3.0), (70.0, 4.0))
    ]
    assert seconds_to(history, 70.0) == 2.0
    assert seconds_to(history, 10.0) == 1.0
    assert seconds_to(history, 70.1) is None


def test_a_stopped_comparison_goes_on_to_the_same_numbers(tmp_path):
    class Stop(Silent):
        def __init__(self, label: str) -> None:
            self.label = label

        def step(self, *, epoch: int, step: int, images: int, loss: float) -> None:
            del images, loss
            if (self.label, epoch, step) == ("channel", 2, 3):
                raise KeyboardInterrupt

    runs = small_plan(tmp_path / "unused", ["batch_norm", "channel"], [0.02])
    whole = compare(runs, str(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        compare(runs, str(tmp_path / "c"), reporter=Stop)
    with pytest.raises(RunDirectoryError, match="already holds"):
        compare(runs, str(tmp_path / "c"))
    resumed = compare(runs, str(tmp_path / "c"), resume=True)
    assert [row.scores for row in resumed.rows] == [row.scores for row in whole.rows]
    lines = [
        numbers(json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines())
        for name in ("c", "whole")
    ]
    assert lines[0] == lines[1]


def test_a_run_that_diverges_stays_a_row(tmp_path):
    runs = small_plan(tmp_path / "unused", ["batch_norm"], [1e30, 0.02])
    runs = {label: dataclasses.replace(config, precision="32-true") for label, config in runs.items()}
    comparison = compare(runs, str(tmp_path / "c"))
    failed, other = comparison.rows
    assert (failed.scores, failed.seconds, failed.seconds_to_baseline) == ((), None, None)
    assert "the training loss is" in failed.failure
    assert len(other.scores) == 2
    assert other.failure == ""
    assert comparison.baseline == max(other.scores)

    class NotAgain(Silent):
        def start(self, *, epochs: int, steps: int, first_epoch: int) -> None:
            raise AssertionError("the run that diverged is trained again")

    def reporter(label: str) -> Silent:
        return NotAgain() if "1e+30" in label else Silent()

    assert compare(runs, str(tmp_path / "c"), resume=True, reporter=reporter) == comparison
