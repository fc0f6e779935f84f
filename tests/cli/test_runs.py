"""``netdeconv train``: what a run leaves, how it goes on, and what it refuses."""

from __future__ import annotations

import shlex

import pytest

from command_lines import SMALL, refused
from netdeconv.cli import main
from netdeconv.training.checkpoint import load_checkpoint
from netdeconv.training.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("_no_drawing")


def test_training_leaves_a_run_directory_and_resuming_keeps_it(capsys, tmp_path, monkeypatch):
    path = tmp_path / "run"
    assert main(shlex.split(f"train {SMALL} --result-path {path}")) == 0
    out = capsys.readouterr().out
    assert "test accuracy" in out
    assert str(path) in out
    names = {
        "checkpoint.pt",
        "config.json",
        "curves.png",
        "environment.json",
        "metrics.jsonl",
        "summary.json",
    }
    assert names <= {file.name for file in path.iterdir()}
    before = (path / "metrics.jsonl").read_text()
    assert main(["train", "--resume", str(path), "--msg", "False", "--lr", "0.02"]) == 0
    assert main(["train", "--resume", str(path / "checkpoint.pt"), "--msg", "False"]) == 0
    assert (path / "metrics.jsonl").read_text() == before
    capsys.readouterr()

    code, error = refused(f"train {SMALL} --result-path {path}", capsys)
    assert code == 1
    assert "already holds a run" in error
    for changed, message in {
        "--lr 0.5": "optimizer.lr was 0.02, not 0.5",
        "--norm group_norm": "network.norm.name was 'batch_norm', not 'group_norm'",
        "--arch vgg11": "network.arch was 'mlp', not 'vgg11'",
        f"--result-path {tmp_path / 'other'}": "leave --result-path out",
    }.items():
        code, error = refused(f"train --resume {path} {changed}", capsys)
        assert code == 2
        assert message in error
    monkeypatch.setattr("netdeconv.training.run_directory.RESUME_PATIENCE_S", 0.1)
    with RunDirectory(path, name="", resume=True):
        code, error = refused(f"train --resume {path}", capsys)
    assert code == 1
    assert "in use by another run" in error

    content = (path / "checkpoint.pt").read_bytes()
    (path / "checkpoint.pt").write_bytes(content[: len(content) // 2])
    code, error = refused(f"train --resume {path}", capsys)
    assert code == 1
    assert "checkpoint.pt is truncated" in error


def test_a_checkpoint_of_another_architecture_is_refused_with_the_keys(capsys, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(shlex.split(f"train {SMALL} --epochs 1 --result-path {first}")) == 0
    assert main(shlex.split(f"train {SMALL} --epochs 1 --arch lenet --result-path {second}")) == 0
    (first / "checkpoint.pt").write_bytes((second / "checkpoint.pt").read_bytes())
    capsys.readouterr()
    code, error = refused(f"train --resume {first}", capsys)
    assert code == 1
    assert "belongs to another network" in error
    assert "Missing key(s) in state_dict" in error
    assert load_checkpoint(first / "checkpoint.pt")["epoch"] == 1


def test_resuming_what_is_no_run_is_refused(capsys, tmp_path):
    code, error = refused(f"train --resume {tmp_path / 'nothing'}", capsys)
    assert code == 1
    assert "holds no run" in error
    assert not (tmp_path / "nothing").exists()


def test_a_diverging_run_is_refused_in_one_line(capsys, tmp_path):
    line = f"train {SMALL} --lr 1e30 --precision 32-true --result-path {tmp_path / 'run'}"
    code, error = refused(line, capsys)
    assert code == 1
    assert "--check-finite" in error


def test_more_epochs_can_be_added_where_the_schedule_allows_it(capsys, tmp_path):
    path = tmp_path / "run"
    line = f"train {SMALL} --epochs 1 --result-path {path} --schedule"
    assert main(shlex.split(f"{line} constant")) == 0
    assert main(shlex.split(f"train --resume {path} --epochs 2")) == 0
    assert "epochs" in capsys.readouterr().out
    assert len((path / "metrics.jsonl").read_text().splitlines()) == 2
    other = tmp_path / "cosine"
    assert main(shlex.split(f"{line.replace(str(path), str(other))} cosine")) == 0
    code, error = refused(f"train --resume {other} --epochs 2", capsys)
    assert code == 2
    assert "epochs was 1, not 2 (the cosine schedule depends on it" in error


@pytest.mark.parametrize(
    "option", ["--block 8", "--structure channel", "--stride 2", "--eps 0.5", "--freeze True", "--deconv-iter 3"]
)
def test_resuming_ignores_no_setting(option, whitened, capsys):
    code, error = refused(f"train --resume {whitened} {option}", capsys)
    assert code == 2
    assert f"--resume keeps the settings of {whitened}, but network.norm." in error


@pytest.fixture(scope="module")
def whitened(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "whitened"
    assert main(shlex.split(f"train {SMALL} --deconv True --block-fc 32 --epochs 1 --result-path {path}")) == 0
    return path
