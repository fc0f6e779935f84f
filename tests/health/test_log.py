"""A run keeps readings of its layers, without those of steps that are trained again."""

from __future__ import annotations

import json

import pytest

from netdeconv.training.logs import HEALTH
from netdeconv.training.session import run
from small_runs import StopAt, plain_config, small_config


def readings(path):
    return [json.loads(line) for line in (path / HEALTH).read_text().splitlines()]


def test_a_run_keeps_readings_and_a_resumed_one_repeats_none(tmp_path):
    config = small_config(tmp_path / "run", epochs=2, recalibration=1)
    with pytest.raises(KeyboardInterrupt):
        run(config, progress=StopAt(2, 3))
    run(config, resume=True)
    lines = readings(tmp_path / "run")
    steps = [line["step"] for line in lines]
    assert steps == sorted(set(steps))
    assert steps[0] == 1
    assert 10 < steps[-1] <= 20
    first = lines[-1]["layers"]
    assert first
    assert all(0 < layer["rank_after"] <= layer["features"] for layer in first.values())
    assert "rows_per_feature" in next(iter(first.values()))


def test_a_network_that_whitens_nothing_has_no_readings(tmp_path):
    run(plain_config(tmp_path / "run", epochs=1))
    assert not (tmp_path / "run" / HEALTH).exists()
