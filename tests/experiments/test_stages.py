"""Rows that follow from earlier ones: searches, then what they chose; continued, diverged, exported, rendered."""

from __future__ import annotations

import dataclasses
import json

import pytest
from benchmarks.pages.markdown import load, render_table

from faked_training import fake, labels
from netdeconv.experiments import camvid as camvid_experiment
from netdeconv.experiments.running.experiment import best_of, experiment, names
from netdeconv.experiments.running.export import export
from netdeconv.experiments.running.runner import reproduce


def run(name, path, *patterns):
    return reproduce(experiment(name), patterns, path)


def exported(name, found, path):
    file = export(found, [name], path / "table.json")
    table = load(file)
    assert table["name"] in render_table(table)
    return table


def best_at(lr, weight_decay, top):
    """A score that is highest at a learning rate and a weight decay."""
    return lambda config: (
        top - 20 * abs(config.optimizer.lr - lr) - 100 * abs(config.optimizer.weight_decay - weight_decay)
    )


def test_the_first_epochs_that_reach_batch_norm_count(tmp_path, monkeypatch):
    def score(config):
        if config.network.norm.name == "batch_norm":
            return best_at(0.02, 1e-3, 80.0)(config)
        if config.data.validation_size:
            return best_at(0.05, 5e-3, 70.0)(config)
        return 74 + 2.5 * config.epochs if config.network.norm.name == "default" else 10.0

    trained = fake(monkeypatch, score)
    found = run("seconds-to-accuracy-vgg11", tmp_path / "runs")
    table = exported("seconds-to-accuracy-vgg11", found, tmp_path)
    rows = {row["variant"]: row for row in table["rows"]}
    assert (rows["batch norm"]["lr"], rows["batch norm"]["weight decay"]) == (0.02, 1e-3)
    assert (rows["default"]["lr"], rows["default"]["weight decay"]) == (0.05, 5e-3)
    # 81.5 % after 3 epochs of 12 s, against 80 % after 5 epochs of 10 s
    assert (rows["default"]["epochs"], rows["default"]["seconds to batch norm"]) == (3, 0.72)
    # as many seconds as batch norm, and still below
    assert (rows["full 16"]["epochs"], rows["full 16"]["seconds to batch norm"]) == (5, None)
    searched = [config for config in trained if config.data.validation_size]
    assert len(searched) == len(table["parts"][0]["rows"]) == 3 * 6
    assert {(config.epochs, config.data.train_size) for config in searched} == {(2, 30000)}
    assert {row["seeds"] for row in rows.values()} == {3}
    count = len(trained)
    assert [row.label for row in run("seconds-to-accuracy-vgg11", tmp_path / "runs").rows] == [
        row.label for row in found.rows
    ]
    assert len(trained) == count  # nothing is trained again


def test_seeds_that_were_not_asked_for_do_not_count(tmp_path, monkeypatch):
    trained = fake(monkeypatch, lambda config: 80.0 if config.network.norm.name == "batch_norm" else 81.0)
    run("seconds-to-accuracy-vgg11-quarter", tmp_path, "*search*")
    lines = run("seconds-to-accuracy-vgg11-quarter", tmp_path, "*seed 0").lines()
    assert [(line["variant"], line["epochs"], line["seeds"]) for line in lines] == [
        ("batch norm", 5, 1),
        ("default", 2, 1),
        ("full 16", 2, 1),
    ]
    assert {config.network.width for config in trained} == {0.25}


def test_a_stage_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    def score(config):
        if not config.data.validation_size and config.seed == 1:
            raise KeyboardInterrupt
        return 50.0

    first = fake(monkeypatch, score)
    with pytest.raises(KeyboardInterrupt):
        run("vgg11-three-epochs", tmp_path)
    second = fake(monkeypatch, lambda config: 50.0)
    found = run("vgg11-three-epochs", tmp_path)
    assert not set(labels(first)[:-1]) & {name for name in labels(second) if "seed" in name}
    assert all(row.is_finished for row in found.rows)


def test_what_diverges_is_a_row_and_chooses_nothing(tmp_path, monkeypatch):
    def score(config):
        bad = config.network.norm.name == "paper" or config.optimizer.lr == 0.1
        return None if bad else 60.0 + config.seed

    trained = fake(monkeypatch, score)
    found = run("vgg11-three-epochs", tmp_path)
    rows = {row.label: row for row in found.rows}
    assert best_of(rows, "paper, search") is None
    assert rows["batch norm at the paper's rate, seed 0"].failure == "the training loss is nan"
    assert best_of(rows, "channel, search").optimizer.lr == 0.05  # the first of equals that did not diverge
    table = exported("vgg11-three-epochs", found, tmp_path)
    lines = {line["normalisation"]: line for line in table["rows"]}
    assert lines["batch norm at the paper's rate"]["accuracy %"] == 0.0
    assert (lines["channel"]["accuracy %"], lines["channel"]["spread"], lines["channel"]["seeds"]) == (61.0, 1.0, 3)
    assert lines["channel"]["seconds / batch norm"] == 1.2
    states = [line["state"] for line in table["parts"][0]["rows"] if line["run"] == "paper, search"]
    assert states == ["diverged"] * 15  # five rates with three weight decays
    count = len(trained)
    run("vgg11-three-epochs", tmp_path)
    assert len(trained) == count


def test_patterns_choose_among_the_rows_that_are_known(tmp_path, monkeypatch):
    trained = fake(monkeypatch, lambda config: 50.0)
    with pytest.raises(ValueError, match="unknown row of camvid 'default'"):
        run("camvid", tmp_path, "default")
    run("camvid", tmp_path, "default, search*")
    assert labels(trained) == [f"default,_search_lr_{lr}_wd_0.0001" for lr in ("0.1", "0.03", "0.01")]


def test_the_test_images_are_read_once(tmp_path, monkeypatch):
    reads = []

    def measure(folder, config):
        reads.append(folder.name)
        return {"mean_iou": 40.0, "accuracy": 80.0, "iou": [1.0, 2.0], "classes": ["a", "b"]}

    plan = dataclasses.replace(camvid_experiment.PLAN, measure=measure)
    monkeypatch.setattr(camvid_experiment, "then", plan.then)
    fake(monkeypatch, lambda config: 50.0 - config.optimizer.lr)
    for _ in range(2):
        found = run("camvid", tmp_path)
    assert sorted(reads) == [f"{name},_seed_0" for name in ("batch_norm", "channel", "default", "full16", "paper")]
    table = exported("camvid", found, tmp_path)
    assert {(row["mean IoU"], row["global accuracy"]) for row in table["rows"]} == {(40.0, 80.0)}
    assert table["parts"][0]["rows"][0] == {"normalisation": "batch norm", "a": 1.0, "b": 2.0}
    assert {config["optimizer"]["lr"] for label, config in table["config"].items() if "search" not in label} == {0.01}


@pytest.mark.parametrize("name", ["running-statistics", "learning-rates", "one-epoch"])
def test_tables_of_seeds(tmp_path, monkeypatch, name):
    fake(monkeypatch, lambda config: 60.0 + config.seed)
    found = run(name, tmp_path / "runs")
    table = exported(name, found, tmp_path)
    assert len(table["rows"]) >= 2
    assert str(tmp_path) not in json.dumps(table)
    if name == "running-statistics":
        kinds = {row["statistics"]: row["after epoch 1"] for row in table["rows"]}
        assert kinds == {"recalibrated": 61.0, "running": 60.0, "batch": 61.0}


def test_fine_tuning_starts_from_the_pretraining_and_ends_at_the_searched_rate(tmp_path, monkeypatch):
    trained = fake(monkeypatch, lambda config: 50.0 - config.optimizer.lr + config.seed)
    found = run("fine-tuning", tmp_path / "runs")
    finals = [config for config in trained if config.start and not config.data.validation_size]
    assert len(finals) == 2 * 2 * 3  # from scratch nothing is started from
    assert {config.optimizer.lr for config in finals} == {0.01}
    lines = exported("fine-tuning", found, tmp_path)["rows"]
    assert len(lines) == 6
    assert {"candidate": "whitened, from scratch", "images": 1000, "lr 0.1": 49.9}.items() <= lines[-1].items()
    assert (lines[-1]["accuracy"], lines[-1]["spread"], lines[-1]["seeds"]) == (50.99, 1.0, 3)


def test_every_experiment_has_a_table_of_its_own_or_none():
    assert {name for name in names() if experiment(name).then} >= {"camvid", "seconds-to-accuracy-resnet18"}
    assert experiment("mnist-mlp").summarise is None
