"""``netdeconv compare``: its table, how it goes on, what it refuses; and Ctrl-C in every command that trains."""

from __future__ import annotations

import json
import shlex

import pytest

from command_lines import SMALL, refused
from netdeconv.cli import main

pytestmark = pytest.mark.usefixtures("_no_drawing")
TINY = "--dataset digits --arch linear --batch-size 256 --epochs 1 --threads 1 --msg False --loggers csv"


def test_a_comparison_in_which_all_diverge_fails(capsys, tmp_path):
    path = tmp_path / "c"
    line = f"compare {TINY} --lrs 1e30 --precision 32-true --variants batch_norm --result-path {path}"
    code, error = refused(line, capsys)
    assert code == 1
    assert "batch norm, search lr 1e+30 wd 0.001: the training loss is" in error
    assert "curves" not in capsys.readouterr().out
    assert not (path / "curves.png").exists()


@pytest.mark.parametrize(
    ("line", "option"),
    [
        (f"train {SMALL}", "--resume"),
        (f"compare {TINY} --lrs .1 --variants none", "--result-path"),
        (f"sweep {TINY} --lr-grid .1 --wd-grid 0", "--result-path"),
    ],
)
def test_ctrl_c_says_how_to_go_on(line, option, capsys, tmp_path, monkeypatch):
    """What is named is the directory of the command that was typed, not that of the run it was in."""
    from netdeconv.training import session

    path = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(session, "save_checkpoint", interrupted)
        code, error = refused(f"{line} --result-path {path}", capsys)
    assert code == 130
    assert f"{option} {path} " in error
    assert main(shlex.split(f"train --resume {path}" if option == "--resume" else f"{line} --result-path {path}")) == 0


def interrupted(*arguments: object, **settings: object) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_while_modules_are_loaded_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr("importlib.import_module", interrupted)
    code, error = refused("train", capsys)
    assert (code, error) == (130, "netdeconv: stopped\n")


def test_comparing_prints_the_table_and_leaves_it(capsys, tmp_path):
    path = tmp_path / "c"
    line = f"compare {TINY} --block 4 --block-fc 32 --search-epochs 1 --lrs .1 --seeds 0 --result-path {path}"
    assert main(shlex.split(line)) == 0
    out = capsys.readouterr().out
    table = (path / "table.txt").read_text(encoding="utf-8")
    assert table in out
    summary = json.loads((path / "summary.json").read_text())
    for one in summary["table"]:
        assert f" {one['normalisation']} " in table
        assert f" {one['lr 0.1']:g} " in table
    assert {"rates.png", "curves.png"} <= {file.name for file in path.iterdir()}
    widths = [
        json.loads(file.read_text())["network"]["norm"]["group_size"] for file in path.glob("default,_*/config.json")
    ]
    assert set(widths) == {4}
    assert "default against batch norm, each at its best rate" in out
    assert main(shlex.split(line)) == 0
    assert (path / "table.txt").read_text(encoding="utf-8") == table
    code, error = refused(f"{line} --block 8", capsys)
    assert code == 1
    assert "network.norm.group_size was 4, not 8" in error
