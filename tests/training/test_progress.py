"""Progress: lines where there is no terminal, bars where there is one."""

from __future__ import annotations

import io

from rich.console import Console

from netdeconv.training import progress
from netdeconv.training.progress import epoch_line, reporters
from netdeconv.training.session import run
from small_runs import plain_config


def test_lines_come_every_so_many_steps_and_after_every_epoch(tmp_path, capsys):
    config = plain_config(tmp_path / "run", epochs=2, precision="32-true")
    with reporters(every=4) as named:
        run(config, named("mlp"))
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert [line.split("  ")[1] for line in lines if "step" in line] == ["step 4/10", "step 8/10"] * 2
    assert lines[0].startswith("mlp: mlp, batch_norm, ")
    assert lines[0].endswith(f" parameters; digits; cpu, 32-true; {tmp_path / 'run'}")
    assert all(line.startswith("mlp: epoch ") for line in lines[1:])
    steps = next(line for line in lines if "step 8/10" in line)
    assert "loss " in steps
    assert " images/s  ETA 0:00:" in steps
    assert sum("accuracy" in line for line in lines) == 2


def test_slow_steps_print_lines_too(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS", -1)
    with reporters(every=1000) as named:
        lines = named("slow")
        lines.start(epochs=1, steps=100, first_epoch=1)
        lines.step(epoch=1, step=1, images=32, loss=2.5)
    assert "epoch 1/1  step 1/100  loss 2.5000" in capsys.readouterr().out


def test_silence_is_silent(tmp_path, capfd):
    with reporters(False) as named:
        run(plain_config(tmp_path / "run", epochs=1), named("mlp"))
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_bars_show_loss_rate_and_what_remains(tmp_path):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=160, color_system=None)
    with reporters(console=console) as named:
        run(plain_config(tmp_path / "run", epochs=2), named("mlp"))
    text = out.getvalue()
    assert "mlp: epoch 2  train loss" in text
    assert "20/20" in text
    assert "images/s" in text
    assert "ETA" in text


def test_a_segmentation_run_shows_what_it_is_judged_by():
    record = {"epoch": 2, "evaluated_on": "val", "train_loss": 1.0, "loss": 0.5, "accuracy": 80.0, "seconds": 3.0}
    assert "mean IoU" not in epoch_line(record)
    assert "accuracy 80.00 %  mean IoU 41.25 %  3.0 s" in epoch_line({**record, "mean_iou": 41.25})
