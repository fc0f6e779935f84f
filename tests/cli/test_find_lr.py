"""netdeconv find-lr: what it says, what it leaves, what it refuses."""

from __future__ import annotations

import json
import shlex

from netdeconv.cli import find_lr, main, train
from netdeconv.cli.recipe_options import recipe_config
from netdeconv.experiments import read_curve

SMALL = "--dataset digits --arch mlp --width 0.25 --batch-size 64 --threads 1 --msg False --precision 32-true"


def test_a_suggestion_a_command_and_a_picture(capsys, tmp_path):
    path = tmp_path / "found"
    assert main(shlex.split(f"find-lr {SMALL} --steps 40 --repeats 2 --norm full --lr 3 --result-path {path}")) == 0
    first, second, command, last = capsys.readouterr().out.splitlines()
    assert first.startswith("suggested learning rate 0.")
    assert second.startswith("steepest descent at ")
    assert last.endswith(str(path))
    found = json.loads((path / "find-lr.json").read_text())
    rate = f"{found['suggestion']:.2g}"
    assert f"suggested learning rate {rate}:" in first
    assert command == f"netdeconv train {SMALL} --norm full --lr {rate}"
    config = recipe_config(*train.parser().parse(shlex.split(command)[2:]))
    assert config.optimizer.lr == float(rate)
    assert config.network.whitening is not None
    assert sorted(file.name for file in path.iterdir() if file.name != "run.lock") == [
        "config.json",
        "environment.json",
        "find-lr.json",
        "find-lr.png",
    ]
    assert (path / "find-lr.png").stat().st_size > 10_000
    assert len(found["passes"]) == 2
    assert json.loads((path / "config.json").read_text())["find_lr"]["steps"] == 40


def test_a_recipe_s_row_can_be_tested(capsys, tmp_path):
    line = f"find-lr --recipe mnist-mlp --row full --steps 20 --repeats 1 --result-path {tmp_path / 'found'}"
    assert main(shlex.split(f"{line} --dataset digits --width 0.25 --threads 1 --msg False")) == 0
    saved = json.loads((tmp_path / "found" / "config.json").read_text())["run"]
    assert (saved["data"]["dataset"], saved["network"]["arch"], saved["data"]["augment"]) == ("digits", "mlp", False)


def test_what_makes_no_sense_is_refused_and_leaves_nothing(capsys, tmp_path):
    path = tmp_path / "found"
    assert main(shlex.split(f"find-lr {SMALL} --lowest-lr 1 --highest-lr .1 --result-path {path}")) == 2
    assert "rates must be 0 < lowest < highest, got 1.0 and 0.1" in capsys.readouterr().err
    assert main(shlex.split(f"find-lr {SMALL} --devices 2 --result-path {path}")) == 2
    assert "several processes train one run" in capsys.readouterr().err
    assert not path.exists()


def test_a_curve_without_descent_is_said():
    rates = [10 ** (step / 10) for step in range(30)]
    assert (
        find_lr.describe(read_curve(rates, [rates]))
        == "no learning rate to suggest: the loss falls at none of the rates"
    )
