"""netdeconv sweep: table, best pair as a command; given again it goes on; what is refused."""

from __future__ import annotations

import json
import shlex

import pytest

from netdeconv.cli import main, train

pytestmark = pytest.mark.usefixtures("_no_drawing")
SMALL = (
    "--dataset digits --arch mlp --width 0.25 --batch-size 256 --epochs 1 --threads 1 --msg False --precision 32-true"
)


def test_the_best_pair_is_a_command_that_trains_on_everything(capsys, tmp_path):
    path = tmp_path / "s"
    line = f"sweep {SMALL} --norm paper --lr-grid .3 .01 --wd-grid 0 1e-3 --trials 2 --result-path {path}"
    assert main(shlex.split(line)) == 0
    *table, caption, command, last = capsys.readouterr().out.splitlines()
    found = json.loads((path / "summary.json").read_text())["table"]
    assert len(found) == 2
    best = found[0]
    assert command == f"netdeconv train {SMALL} --norm paper --lr {best['lr']:.3g} --wd {best['weight decay']:.3g}"
    config = train.options_of(shlex.split(command)[2:]).config
    assert (config.optimizer.lr, config.data.validation_size) == (best["lr"], 0)
    # a tenth of the 1297 training digits
    assert caption.startswith("Per cent of 129 images cut from the training set")
    assert table[0].startswith("mlp on digits, learning rate and weight decay: accuracy (%)")
    assert best["score"] == max(line["score"] for line in found)
    assert "\n".join([*table, caption]) + "\n" == (path / "table.txt").read_text()
    assert last.endswith(str(path))

    assert main(shlex.split(f"{line} --trials 3")) == 0
    out = capsys.readouterr().out
    assert "netdeconv train --dataset digits" in out
    assert "--trials" not in out
    assert len(json.loads((path / "summary.json").read_text())["table"]) == 3
    assert main(shlex.split(f"{line} --norm channel")) == 1
    assert "network.norm.name was 'paper', not 'channel'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{SMALL} --validation-size 0", "--validation-size 0 would choose by the test images"),
        (f"{SMALL} --lr .1", "a sweep chooses --lr and --wd"),
        (f"{SMALL} --lr-range 1 .1", "a range must be 0 < lowest < highest, got 1.0 and 0.1"),
        (f"{SMALL} --trials 0", "trials must be at least 1"),
        (f"{SMALL} --validation-size 5000", "cannot cut 5000 samples from 1297"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_nothing(line, message, capsys, tmp_path):
    assert main(shlex.split(f"sweep {line} --result-path {tmp_path / 's'}")) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
