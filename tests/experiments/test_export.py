"""The learning-rate map sums its runs up, and an export says where its numbers come from."""

from __future__ import annotations

import json

import pytest

from netdeconv.cli import main
from netdeconv.experiments.learning_rates import summary
from netdeconv.experiments.running.experiment import ExperimentRow, Reproduced, experiment

ROW: ExperimentRow = next(iter(experiment("learning-rates").rows.values()))


def run(label: str, score: float | None, failure: str = "") -> Reproduced:
    history = () if score is None else ({"accuracy": score, "cumulative_seconds": 60.0},)
    return Reproduced(label, ROW, history, of_epochs=1, failure=failure)


def test_rates_and_seeds_become_one_line():
    (line, other) = summary(
        [
            run("digits, default, plain head, lr 0.1, seed 0", 90.0),
            run("digits, default, plain head, lr 0.1, seed 1", 92.0),
            run("digits, default, plain head, lr 0.01, seed 0", 70.0),
            run("digits, batch norm, lr 0.1, seed 0", None, "the training loss is nan"),
            run("digits, batch norm, lr 0.01, seed 0", None),
        ]
    )
    assert (line["data"], line["normalisation"]) == ("digits", "default, plain head")
    assert (line["lr 0.1"], line["lr 0.01"]) == (91.0, 70.0)
    assert (line["best"], line["mean"], line["worst"], line["spread"]) == (91.0, 80.5, 70.0, 1.4)
    assert line["seeds"] == 1
    assert other["lr 0.1"] == 0.0  # diverged
    assert other["lr 0.01"] is None  # not trained


def test_an_export_has_its_origin_and_no_folder(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fast = "--epochs 1 --width 0.1 --train-size 64 --recalibration 0 --threads 1 --msg False"
    words = ["reproduce", "learning-rates", "digits, batch norm, lr 0.1, seed 0", *fast.split()]
    assert main([*words, "--result-path", "here", "--export", "out/table.json"]) == 0
    assert "out/table.json" in capsys.readouterr().out
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    assert table["seed"] == [0]
    assert table["rows"][0]["best"] == pytest.approx(table["rows"][0]["lr 0.1"])
    assert "--epochs 1" in table["command"]
    assert "here" not in table["command"]
    assert "Not the experiment's settings: --epochs 1" in table["note"]
    assert str(tmp_path) not in json.dumps(table)
