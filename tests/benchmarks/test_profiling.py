"""Bounds of the stages of a step, from shapes; steps under the profiler, against a clock in the step itself."""

import time

import pytest
import torch
from benchmarks.harness.machine import Peak
from benchmarks.harness.profiling import PRODUCT, ROOT, SAMPLE, Recording, bounds

import netdeconv as nd

# so slow that nothing is bound by bytes, and so narrow that everything is
ARITHMETIC = Peak({torch.float32: 1.0, torch.bfloat16: 4.0}, 1e30)
MEMORY = Peak({torch.float32: 1e30, torch.bfloat16: 1e30}, 1.0)
SHAPE = torch.Size([8, 64, 12, 12])  # 4 x 4 sampled positions of 8 images


def layer(**settings):
    return nd.WhitenedConv2d(64, 32, 3, padding=1, whitening=nd.Whitening(**settings))


def test_operations_of_whole_patches():
    n, d, weights = 128, 576, 32 * 576
    found = bounds(layer(), SHAPE, torch.float32, ARITHMETIC)
    assert found[SAMPLE] == pytest.approx(3 * n * d**2)
    assert found[ROOT] == pytest.approx(36 * d**3)
    assert found[PRODUCT] == pytest.approx(6 * weights * d)


def test_blocks_share_a_matrix_and_add_rows():
    n, d, weights = 4 * 128, 144, 32 * 576
    found = bounds(layer(group_size=16, num_iterations=3), SHAPE, torch.bfloat16, ARITHMETIC)
    assert found[SAMPLE] == pytest.approx(3 * n * d**2 / 4)
    assert found[ROOT] == pytest.approx(18 * d**3)  # float32
    assert found[PRODUCT] == pytest.approx(6 * weights * d / 4)


def test_few_rows_are_fewer():
    few = bounds(
        layer(structure="channel", group_size=1, rows_per_feature=16),
        torch.Size([64, 64, 12, 12]),
        torch.float32,
        ARITHMETIC,
    )
    assert few[SAMPLE] == pytest.approx(3 * 32 * 16 * 64)  # 32 entries are the fewest


def test_bytes():
    n, d, weights = 128, 576, 32 * 576
    found = bounds(layer(), SHAPE, torch.bfloat16, MEMORY)
    pixels = SHAPE.numel()
    matrix = 4 * d * d
    assert found[SAMPLE] == pytest.approx(4 * 2 * min(n * d, pixels) + 2 * matrix)
    assert found[ROOT] == pytest.approx(5 * matrix)
    assert found[PRODUCT] == pytest.approx((6 + 10) * weights + 2 * matrix)


def test_a_peak_in_words():
    assert str(Peak({torch.float32: 1.5e11, torch.bfloat16: 4e11}, 3e10)) == (
        "bfloat16 400 GFLOP/s, float32 150 GFLOP/s, 30 GB/s"
    )


def test_seconds_shares_and_calls_are_of_one_step():
    factor = torch.randn(600, 600)
    took = []

    def step():
        started = time.perf_counter()
        torch.mm(factor, factor)
        took.append(time.perf_counter() - started)
        torch.relu(factor)
        torch.relu(factor)

    recording = Recording(step, torch.device("cpu"))
    mean = sum(took) / len(took)
    assert mean / 20 < recording.inclusive()["aten::mm"] <= mean
    assert recording.inclusive()["aten::mm"] < recording.seconds
    rows = recording.longest()
    by_name = {row["operation"]: row for row in rows}
    assert (by_name["aten::mm"]["calls a step"], by_name["aten::relu"]["calls a step"]) == (1, 2)
    shares = [row["per cent"] for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.5)  # rounded to three digits each
