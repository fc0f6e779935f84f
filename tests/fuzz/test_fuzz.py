"""A share of ``make fuzz``: the library against a plain float64 oracle, in a process of its own."""

from __future__ import annotations

import importlib.util
from pathlib import Path

HERE = Path(__file__).resolve().parent


def test_three_hundred_random_layers():
    spec = importlib.util.spec_from_file_location("fuzz_run", HERE / "run.py")
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    assert run.share(0, 300) == []
