"""Tables of training runs say where their numbers come from, and hold what the runs measured."""

from __future__ import annotations

import json
import shlex

import pytest

from benchmarks import less_work, runs, seconds_to_accuracy
from netdeconv.training import RunResult, TrainingConfig, run
from small_runs import plain_config


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Where tables go."""
    monkeypatch.setattr(runs, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def test_a_table_tells_of_all_sessions_and_of_no_folder(tmp_path, results):
    config = plain_config(tmp_path / "run", epochs=1, seed=3, precision="32-true")
    result = run(config, progress=False)
    table = runs.build("Title", command="x", config={"a": runs.settings(config)}, results=[result, result], rows=[{}])
    runs.write(table, "part/table.json")
    read = json.loads((results / "part" / "table.json").read_text())
    assert read["seed"] == [3]
    assert read["hardware"].endswith(", 1 threads, 32-true")
    assert read["minutes"] == round(2 * result.seconds / 60, 1)
    assert str(tmp_path) not in json.dumps(read)
    assert "parts" not in read


def faked(monkeypatch, module, accuracy_of):
    """Replace training by a result that follows from the settings; return the settings that were trained."""
    trained: list[TrainingConfig] = []

    def fake(config, **_):
        trained.append(config)
        path = runs.Path(config.result_path)
        path.mkdir(parents=True, exist_ok=True)
        (path / "config.json").write_text(json.dumps({"seed": config.seed}))
        session = dict.fromkeys(runs._PACKAGES, "1") | {"processor": "P", "threads": 2, "precision": "32-true"}
        (path / "environment.json").write_text(json.dumps({"sessions": [session]}))
        seconds = 10.0 if not config.network.norm.whitens else 12.0
        history = [
            {"accuracy": accuracy_of(config), "train_loss": 1.0, "cumulative_seconds": seconds * (epoch + 1)}
            | {"seconds_per_step": seconds / 5}
            for epoch in range(config.epochs)
        ]
        return RunResult(path, tuple(history), None)

    monkeypatch.setattr(module, "run", fake)
    return trained


def test_the_searched_batch_norm_is_the_goal_and_the_first_epochs_that_reach_it_count(tmp_path, results, monkeypatch):
    def accuracy(config):
        if not config.network.norm.whitens:
            return 80.0 - abs(config.optimizer.lr - 0.02) * 100 - (config.optimizer.weight_decay != 1e-3)
        return 70.0 + 4 * config.epochs if config.network.norm.name == "default" else 10.0

    trained = faked(monkeypatch, seconds_to_accuracy, accuracy)
    line = f"--runs {tmp_path / 'runs'} --epochs 4 --dataset digits --search-images 900 --first-epochs 2"
    seconds_to_accuracy.main(line.split())
    table = json.loads((results / "seconds-to-accuracy-vgg11.json").read_text())
    rows = {row["variant"]: row for row in table["rows"]}
    assert (rows["batch norm"]["lr"], rows["batch norm"]["weight decay"]) == (0.02, 1e-3)
    # 82 % after 3 epochs of 12 s, against 80 % after 4 epochs of 10 s
    assert (rows["default"]["epochs"], rows["default"]["seconds to batch norm"]) == (3, 0.9)
    assert (rows["full16"]["epochs"], rows["full16"]["seconds to batch norm"]) == (4, None)
    searches = [config for config in trained if config.data.validation_size]
    assert len(searches) == len(table["parts"][0]["rows"]) == 12 + 3
    assert all(not config.network.norm.whitens for config in searches)
    assert [(config.epochs, config.data.train_size) for config in searches] == [(1, 900)] * 12 + [(4, None)] * 3
    assert {config.optimizer.weight_decay for config in searches[:12]} == {5e-4, 1e-3, 5e-3}
    assert {(config.optimizer.lr, config.optimizer.weight_decay) for config in searches[12:]} == {
        (0.02, 1e-3),
        (0.02, 5e-4),
        (0.02, 5e-3),
    }
    assert "--runs" not in table["command"]
    # candidates were tried from two epochs on
    assert min(config.epochs for config in trained if config.network.norm.whitens) == 2


def test_one_pair_that_is_left_needs_no_second_round(tmp_path, results, monkeypatch):
    trained = faked(monkeypatch, seconds_to_accuracy, lambda config: 80.0 - config.optimizer.lr)
    line = f"--runs {tmp_path / 'runs'} --epochs 2 --keep 1 --lrs 0.3 0.1 0.2 --weight-decays 0 --candidates channel"
    seconds_to_accuracy.main(line.split())
    assert [config.epochs for config in trained if config.data.validation_size] == [1, 1, 1]
    table = json.loads((results / "seconds-to-accuracy-vgg11.json").read_text())
    assert (table["rows"][0]["lr"], len(table["parts"][0]["rows"])) == (0.1, 3)


def test_candidates_stop_after_the_last_epochs_that_were_asked_for(tmp_path, results, monkeypatch):
    faked(monkeypatch, seconds_to_accuracy, lambda config: 80.0 if not config.network.norm.whitens else 10.0)
    line = f"--runs {tmp_path / 'runs'} --lrs 0.1 --weight-decays 0 --candidates default --last-epochs 3"
    seconds_to_accuracy.main(line.split())
    row = json.loads((results / "seconds-to-accuracy-vgg11.json").read_text())["rows"][1]
    assert (row["epochs"], row["test accuracy"], row["seconds to batch norm"]) == (3, 10.0, None)


def test_candidates_are_searched_like_batch_norm(tmp_path, results, monkeypatch):
    def accuracy(config):
        return 80.0 - 10 * config.optimizer.lr if not config.network.norm.whitens else 70 + 100 * config.optimizer.lr

    trained = faked(monkeypatch, seconds_to_accuracy, accuracy)
    line = f"--runs {tmp_path / 'runs'} --epochs 2 --search-images 900 --keep 1 --lrs 0.3 0.1 --candidates full16"
    seconds_to_accuracy.main([*line.split(), "--candidate-lrs", "0.05", "0.2"])
    table = json.loads((results / "seconds-to-accuracy-vgg11.json").read_text())
    assert [(row["variant"], row["lr"], row["epochs"]) for row in table["rows"]] == [
        ("batch norm", 0.1, 2),
        ("full16", 0.2, 1),
    ]
    searched = [(row["variant"], row["lr"]) for row in table["parts"][0]["rows"]]
    assert searched == [("batch norm", lr) for lr in (0.3, 0.1) for _ in range(3)] + [("full16", 0.05), ("full16", 0.2)]
    splits = [config.data.validation_size for config in trained if config.network.norm.whitens]
    assert splits == [5000, 5000, 0]


def test_less_work_compares_seeds_and_seconds_with_batch_norm(tmp_path, results, monkeypatch):
    trained = faked(monkeypatch, less_work, lambda config: 60.0 + config.seed)
    only = ["--only", "batch norm", "default"]
    less_work.main(["--epochs", "1", "--images", "640", "--runs", str(tmp_path / "runs"), *only])
    table = json.loads((results / "cifar10-less-work.json").read_text())
    assert shlex.split(table["command"])[-3:] == only
    rows = table["rows"]
    assert [(row["accuracy %"], row["spread"], row["seconds / batch norm"]) for row in rows] == [
        (61.0, 1.0, 1.0),
        (61.0, 1.0, 1.2),
    ]
    assert len(trained) == 6
    assert all((config.data.validation_size, config.data.train_size) == (5000, 640) for config in trained)
