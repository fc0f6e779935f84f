"""Every measuring program once, at sizes of a fraction of a second: what it writes, and what failing leaves."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.harness import variants
from benchmarks.render_results import load

from benchmarks import against, allocator, inference, layers, pipeline, training_step
from netdeconv.lookup import UnknownNameError
from tolerances import FOLDED_FLOAT32

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = ["--arch", "lenet", "--size", "12", "--batch-size", "4", "--rounds", "1", "--warmup", "0"]


def measured(module: Any, path: Path, *arguments: str) -> dict[str, Any]:
    """The table that a program writes."""
    module.main([*arguments, "--output", str(path)])
    return load(path)


def by_name(table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {next(iter(row.values())): row for row in table["rows"]}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_training_step(tmp_path, dtype):
    names = ["none", "batch_norm", "channel", "published"]
    path = tmp_path / "step.json"
    table = measured(training_step, path, *SMALL, "--dtype", dtype, "--variants", *names, "--profile", "channel")
    rows = by_name(table)
    assert list(rows) == names
    for row in rows.values():
        assert row["seconds"] > 0
        assert row["memory, MB"] > 0
    assert rows["batch_norm"]["to batch norm"] == rows["batch_norm"]["memory to batch norm"] == 1.0
    assert rows["none"]["to no norm"] == 1.0
    # one round: each is the inverse of the other, both rounded to four digits
    assert rows["none"]["to batch norm"] * rows["none"]["to no norm"] == pytest.approx(
        rows["none"]["seconds"] / rows["batch_norm"]["seconds"], rel=2e-3
    )
    assert rows["batch_norm"]["to no norm"] * rows["none"]["to batch norm"] == pytest.approx(1, rel=2e-3)
    # it keeps float32 patches of every layer, a copy for each operation on them
    assert rows["published"]["memory to batch norm"] > rows["channel"]["memory to batch norm"]
    assert ("plain port" in table["note"]) == (dtype == "bfloat16")
    assert table["config"]["dtype"] == dtype
    assert str(tmp_path) not in path.read_text()
    shares = [row["per cent"] for row in table["parts"][0]["rows"]]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 100.5
    assert len(shares) <= 12
    stages = {row["stage"]: row for row in table["parts"][1]["rows"]}
    assert list(stages) == [
        "sample and covariance",
        "inverse root",
        "product with the weight",
        "convolution",
        "everything else",
    ]
    assert all(row["both, ms"] > 0 for row in stages.values())


def test_memory_alone_is_measured_without_a_clock(tmp_path):
    table = measured(training_step, tmp_path / "m.json", *SMALL, "--memory-only", "--variants", "batch_norm", "channel")
    rows = by_name(table)
    assert set(rows["channel"]) == {"variant", "memory, MB", "memory to batch norm"}
    assert rows["batch_norm"]["memory to batch norm"] == 1.0
    assert rows["channel"]["memory, MB"] > 0


def test_a_variant_that_fails_keeps_its_row(tmp_path, monkeypatch):
    def exhausting(*args: Any, **settings: Any) -> None:
        raise torch.OutOfMemoryError("no memory left\nfor anything")

    monkeypatch.setattr(variants, "as_published", exhausting)
    arguments = [*SMALL, "--variants", "published", "batch_norm"]
    rows = by_name(measured(training_step, tmp_path / "step.json", *arguments))
    assert rows["published"]["error"] == "OutOfMemoryError: no memory left"
    assert rows["published"]["seconds"] is None
    assert rows["batch_norm"]["error"] is None
    assert rows["batch_norm"]["to batch norm"] == 1.0


@pytest.mark.parametrize("module", [training_step, inference])
def test_unknown_names_are_refused(module):
    with pytest.raises(UnknownNameError, match="lenet"):
        module.parse(["--arch", "lenett"])
    with pytest.raises(UnknownNameError, match="channel"):
        module.parse(["--arch", "lenet", "--variants", "chanel"])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--arch", "lenet"], "training-step-lenet-float32-cpu.json"),
        (["--arch", "lenet", "--size", "64", "--compile"], "training-step-lenet-size64-compiled-float32-cpu.json"),
        (
            ["--arch", "resnet50", "--imagenet", "--dtype", "bfloat16", "--device", "cuda"],
            "training-step-imagenet-resnet50-bfloat16-cuda.json",
        ),
        (
            ["--arch", "resnet50", "--imagenet", "--batch-size", "64"],
            "training-step-imagenet-resnet50-batch64-float32-cpu.json",
        ),
    ],
)
def test_a_configuration_has_a_file_of_its_own(arguments, name):
    assert training_step.results_file(training_step.parse(arguments)).name == name


def test_layers(tmp_path):
    sizes = ["--channels", "4", "--batch", "2", "--size", "6", "--group-size", "4", "--peak-scale", "0.01"]
    arguments = [*sizes, "--rounds", "1", "--warmup", "0", "--vary", "kernel", "--values", "1", "3"]
    table = measured(layers, tmp_path / "layers.json", *arguments)
    assert [(row["varied"], row["value"]) for row in table["rows"]] == [("kernel", 1), ("kernel", 3)]
    for row in table["rows"]:
        cells = {name: cell for name, cell in row.items() if name not in ("varied", "value")}
        assert len(cells) == 11
        assert all(milliseconds > 0 and reference > 0 for milliseconds, reference in cells.values())
    assert set(table["parts"][0]["rows"][0]) == {"varied", *cells}


def test_inference(tmp_path):
    table = measured(inference, tmp_path / "inference.json", *SMALL, "--variants", "paper", "published")
    rows = by_name(table)
    assert list(rows) == ["none", "batch_norm", "batch_norm, fused", "paper", "paper, folded", "published"]
    for name in ("batch_norm, fused", "paper, folded"):
        assert rows[name]["difference"] <= FOLDED_FLOAT32
    assert rows["none"]["to no norm"] == rows["batch_norm, fused"]["to batch norm, fused"] == 1.0


def test_pipeline(tmp_path):
    arguments = ["--arch", "lenet", "--batch-size", "4", "--rounds", "3", "--warmup", "1"]
    table = measured(pipeline, tmp_path / "pipeline.json", *arguments, "--variants", "batch_norm")
    (row,) = table["rows"]
    shares = [value for name, value in row.items() if name.endswith(", %")]
    assert sum(shares) == pytest.approx(100, abs=0.5)  # each is rounded to three digits
    assert all(share > 0 for share in shares)
    # four images in a median step, both rounded to four digits
    assert row["images a second"] * row["seconds a step"] == pytest.approx(4, rel=2e-3)


def test_moments_divide_a_step_into_its_phases():
    times = iter([0.0, *[100.0] * 6, 101.0, 103.0, 106.0, 110.0, 115.0, 121.0, 121.5])
    moments = pipeline.Moments(lambda: None, clock=lambda: next(times))
    for _ in range(13):
        moments.note()
    # asked for at 100, ready at 101, loss from 103 to 106, optimiser from 110 to 115, next asked for at 121
    assert moments.phases(warmup=1) == {
        "data": [1.0],
        "forward": [2.0],
        "rest": [3.0 + 6.0],
        "backward": [4.0],
        "optimizer": [5.0],
    }


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(RuntimeError, match="no CUDA device"):
        training_step.main([*SMALL, "--device", "cuda"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_a_graph_repeats_the_training_step(tmp_path):
    arguments = ["--device", "cuda", "--graph", "--variants", "batch_norm", "channel", "paper"]
    rows = by_name(measured(training_step, tmp_path / "graph.json", *SMALL, *arguments))
    assert all(row["error"] is None and row["seconds"] > 0 for row in rows.values())
    assert "paper, graph" in rows


def test_against(tmp_path):
    source = str(REPOSITORY / "src")
    arguments = ["--arch", "lenet", "--batch-size", "4", "--rounds", "1", "--warmup", "0", "--variants", "batch_norm"]
    table = measured(against, tmp_path / "a.json", "--other", source, "--commit", "abc", *arguments)
    assert [row["checkout"] for row in table["rows"]] == ["abc", "here"]
    assert all(row["step / batch norm"] == 1.0 and row["MiB"] > 50 for row in table["rows"])
    assert source not in json.dumps(table)


def test_growth_is_the_exponent():
    assert layers.growth([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2)
    assert layers.growth([64, 128], [1.0, 2.0**0.5]) == pytest.approx(0.5)
    assert layers.growth([3], [1.0]) is None
    measured_points = [("size", 1, {"a": 1.0, "b": 1.0}), ("size", 2, {"a": 8.0})]
    assert layers.growth_rows(measured_points) == [{"varied": "size", "a": 3.0}]


def test_bound_is_the_slower_of_arithmetic_and_memory():
    peak = layers.Peak({torch.float32: 100.0, torch.bfloat16: 400.0}, 10.0)
    assert peak.bound(200.0, 5.0, torch.float32) == 2.0
    assert peak.bound(200.0, 5.0, torch.bfloat16) == 0.5
    assert peak.bound(200.0, 50.0, torch.float32) == 5.0


def test_work_of_the_parts_is_counted():
    from benchmarks.harness.layer_parts import Point, operations
    from benchmarks.harness.layer_parts import layers as whole

    point = Point(channels=4, kernel=3, batch=2, size=6, group_size=4)
    parts = dict(operations(point, torch.float32, torch.device("cpu")))
    n, d = 2 * 2 * 2, 4 * 9  # two images, 2 x 2 sampled positions; four channels, 9 taps
    assert parts["sampling"].moved == 4 * n * d + 4 * n * d  # patches do not overlap: each pixel is read once
    assert parts["covariance"].operations == n * d * d
    assert parts["inverse root"].operations == 12 * d**3
    assert parts["weight product"].operations == 2 * 4 * d * d  # four outputs, one block
    convolution = dict(whole(point, torch.float32, torch.device("cpu")))["convolution"]
    assert convolution.operations == 3 * 2 * (2 * 4 * 36) * (4 * 9)  # three products over every output and tap


def test_the_script_refuses_unknown_parts():
    done = subprocess.run(
        ["bash", "benchmarks/gpu.sh", "nonsense"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout.endswith("no such part: nonsense\n")
    assert "Needs: an NVIDIA card" in done.stdout


def test_allocator(tmp_path):
    rows = measured(allocator, tmp_path / "allocator.json", *SMALL, "--variants", "channel")["rows"]
    assert [(row["variant"], row["memory"]) for row in rows] == [
        ("channel", allocator.USUAL),
        ("channel", allocator.KEPT),
    ]
    assert all(row["seconds"] > 0 and row["peak of the process, GB"] > 0.05 for row in rows)
    assert {row["to the usual"] for row in rows if row["memory"] == allocator.USUAL} == {1.0}
