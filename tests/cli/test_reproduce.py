"""netdeconv reproduce: rows of an experiment in one directory, in several sittings, beside what is expected."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from netdeconv.cli import main, reproduce
from netdeconv.experiments.running.experiment import Reproduced, experiment
from netdeconv.experiments.running.runner import Reproduction

SMALL = "--dataset digits --width .25 --batch-size 256 --threads 1 --msg False"


def run(line: str, path: Path) -> int:
    return main(["reproduce", *shlex.split(f"{line} --result-path {path}")])


def test_rows_are_trained_once_and_shown_beside_the_others(capsys, tmp_path):
    path = tmp_path / "mlp"
    assert run(f"mnist-mlp none {SMALL} --epochs 1", path) == 0
    capsys.readouterr()
    before = (path / "none" / "metrics.jsonl").read_text()
    assert run(f"mnist-mlp batch_norm none {SMALL} --epochs 1", path) == 0
    out = capsys.readouterr().out
    assert (path / "none" / "metrics.jsonl").read_text() == before
    scores = {
        name: json.loads((path / name / "metrics.jsonl").read_text())["accuracy"] for name in ("none", "batch_norm")
    }
    assert out.startswith("mnist-mlp: A perceptron of three hidden layers")
    lines = {line.split()[1]: line.split("│")[1:-1] for line in out.splitlines() if "│" in line}
    for name, score in scores.items():
        assert [cell.strip() for cell in lines[name]][1:3] == [f"{round(score, 2):g}", "1"]
    assert "paper" not in lines  # neither asked for nor begun
    assert "Expected: network deconvolution above batch norm" in " ".join(out.split())
    assert "NOT the experiment's settings: --batch-size 256, --dataset digits, --epochs 1, --width 0.25." in " ".join(
        out.split()
    )
    assert (path / "table.txt").read_text() in out
    summary = json.loads((path / "summary.json").read_text())
    assert [row["here"] for row in summary["table"]] == [round(scores[name], 2) for name in ("none", "batch_norm")]


def test_what_does_not_fit_the_directory_is_refused(capsys, tmp_path):
    path = tmp_path / "mlp"
    assert run(f"mnist-mlp none {SMALL} --epochs 1", path) == 0
    capsys.readouterr()
    assert run(f"mnist-mlp none {SMALL} --epochs 2", path) == 1
    assert "has other settings: epochs was 1, not 2" in capsys.readouterr().err
    assert run(f"fashion-regression {SMALL}", path) == 1
    assert "holds no rows of fashion-regression" in capsys.readouterr().err
    assert run("mnist-mlp nothing", tmp_path / "other") == 2
    assert "unknown row of mnist-mlp 'nothing'" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_an_unknown_row_of_hundreds_names_the_nearest_alone(capsys):
    assert main(["reproduce", "learning-rates-candidates", "cifar10, defalt, lr 0.1, seed 0"]) == 2
    message = capsys.readouterr().err
    assert "did you mean 'cifar10, default, lr 0.1, seed 0'" in message
    assert "known, such as" in message
    assert len(message) < 600


def test_a_row_that_diverges_is_said_and_the_others_are_trained(capsys, tmp_path):
    path = tmp_path / "mlp"
    line = f"mnist-mlp none batch_norm {SMALL} --epochs 1 --lr 1e30 --precision 32-true"
    assert run(line, path) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "│ none │ diverged │ 0 of 1 │" in out
    assert "none: the training loss is" in out
    assert (path / "batch_norm" / "config.json").exists()


def test_expected_numbers_stand_by_their_sources():
    chosen = experiment("table1-epoch1")
    history = {"vgg16 paper": ({"accuracy": 74.58, "cumulative_seconds": 3426.0, "evaluated_on": "test"},)}
    rows = tuple(Reproduced(label, row, history.get(label, ()), of_epochs=1) for label, row in chosen.rows.items())
    text = reproduce.render(Reproduction(chosen, Path(), rows))
    assert " ".join(text.splitlines()[2].split()) == "┃ run ┃ paper ┃ study ┃ here ┃ epochs ┃ minutes ┃"
    found = next(line for line in text.splitlines() if "vgg16 paper" in line)
    assert " ".join(found.split()) == "│ vgg16 paper │ 74.18 │ 74.2 │ 74.58 │ 1 │ 57.1 │"
    assert "Per cent on the test images" in text


def test_recipes_are_listed(capsys):
    assert main(["list", "experiments", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    table = listed["table1-epoch1"]
    assert table["title"] == experiment("table1-epoch1").title
    assert {"command", "hardware", "minutes", "expected", "spread", "status"} <= table.keys()
    assert table["rows"][1] == {"label": "vgg16 paper", "expected": {"paper": 74.18, "study": 74.2}}
    assert main(["list", "experiments"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == list(listed)
    assert "netdeconv reproduce" in lines[-1]


@pytest.mark.parametrize("name", ["table1-epoch1", "camvid"])
def test_commands_in_heads_are_understood(name):
    words = shlex.split(experiment(name).head["Command"])
    options, _ = reproduce.options_of(words[2:])
    assert options.name == name
