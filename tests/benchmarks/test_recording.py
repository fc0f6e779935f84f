"""Steps under the profiler, against a clock in the step itself: both stand still together on a busy machine."""

import time

import pytest
import torch
from benchmarks.recording import Recording


@pytest.fixture(scope="module")
def recorded():
    factor = torch.randn(600, 600)
    took = []

    def step():
        started = time.perf_counter()
        torch.mm(factor, factor)
        took.append(time.perf_counter() - started)
        torch.relu(factor)
        torch.relu(factor)

    return Recording(step, torch.device("cpu")), took


def test_seconds_are_of_one_step(recorded):
    recording, took = recorded
    mean = sum(took) / len(took)
    assert mean / 20 < recording.inclusive()["aten::mm"] <= mean
    assert recording.inclusive()["aten::mm"] < recording.seconds


def test_shares_and_calls(recorded):
    recording, _ = recorded
    rows = recording.longest()
    by_name = {row["operation"]: row for row in rows}
    assert (by_name["aten::mm"]["calls a step"], by_name["aten::relu"]["calls a step"]) == (1, 2)
    shares = [row["per cent"] for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.5)  # rounded to three digits each
    assert recording.longest(1) == rows[:1]
