"""Every measuring program once, at sizes of a fraction of a second: what it writes, and what failing leaves."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.render_results import load
from benchmarks.variants import VARIANTS, Variant

from benchmarks import allocator, cuda_graph, inference, layers, pipeline, training_step, variants
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
    names = ["no_norm", "batch_norm", "channel", "stem", "published"]
    path = tmp_path / "step.json"
    table = measured(training_step, path, *SMALL, "--dtype", dtype, "--variants", *names, "--profile", "channel")
    rows = by_name(table)
    assert list(rows) == names
    for row in rows.values():
        assert row["seconds"] > 0
        assert row["memory, MB"] > 0
    assert rows["batch_norm"]["to batch norm"] == rows["batch_norm"]["memory to batch norm"] == 1.0
    assert rows["no_norm"]["to no norm"] == 1.0
    # one round: each is the inverse of the other, both rounded to four digits
    assert rows["no_norm"]["to batch norm"] * rows["no_norm"]["to no norm"] == pytest.approx(
        rows["no_norm"]["seconds"] / rows["batch_norm"]["seconds"], rel=2e-3
    )
    assert rows["batch_norm"]["to no norm"] * rows["no_norm"]["to batch norm"] == pytest.approx(1, rel=2e-3)
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


def test_a_variant_that_fails_keeps_its_row(tmp_path, monkeypatch):
    class Exhausting(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("no memory left\nfor anything")

    monkeypatch.setitem(variants.VARIANTS, "exhausting", Variant("fails", lambda model: Exhausting()))
    arguments = [*SMALL, "--variants", "exhausting", "batch_norm"]
    rows = by_name(measured(training_step, tmp_path / "step.json", *arguments))
    # a module without parameters is refused by the optimiser: that, too, is an error of this row alone
    assert "ValueError" in rows["exhausting"]["error"]
    assert rows["exhausting"]["seconds"] is None
    assert rows["batch_norm"]["error"] is None
    assert rows["batch_norm"]["to batch norm"] == 1.0


@pytest.mark.parametrize("module", [training_step, inference, cuda_graph])
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
    assert list(rows) == ["no_norm", "batch_norm", "batch_norm, fused", "paper", "paper, folded", "published"]
    for name in ("batch_norm, fused", "paper, folded"):
        assert rows[name]["difference"] <= FOLDED_FLOAT32
    assert rows["no_norm"]["to no norm"] == rows["batch_norm, fused"]["to batch norm, fused"] == 1.0


def test_pipeline(tmp_path):
    arguments = ["--arch", "mlp", "--width", "0.1", "--batch-size", "4", "--rounds", "3", "--warmup", "1"]
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
def test_graphs_need_a_device(capsys):
    cuda_graph.main(SMALL)
    assert capsys.readouterr().out == "no CUDA here\n"
    with pytest.raises(RuntimeError, match="no CUDA device"):
        training_step.main([*SMALL, "--device", "cuda"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_a_graph_repeats_the_training_step(tmp_path):
    arguments = ["--arch", "lenet", "--size", "12", "--batch-size", "8", "--variants", "batch_norm", "channel", "paper"]
    rows = by_name(measured(cuda_graph, tmp_path / "graph.json", *arguments, "--rounds", "1"))
    assert all(row.get("error") is None and row["finite"] for row in rows.values())


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
    from benchmarks.layer_parts import Point, operations
    from benchmarks.layer_parts import layers as whole

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


def test_results_are_plain_json(tmp_path):
    table = measured(inference, tmp_path / "inference.json", *SMALL, "--variants", "channel")
    assert json.loads((tmp_path / "inference.json").read_text()) == table
    assert set(VARIANTS) >= {"default", "published"}


def test_allocator(tmp_path, monkeypatch):
    monkeypatch.setattr(allocator, "VARIANTS", ("channel",))
    table = measured(allocator, tmp_path / "allocator.json", *SMALL)
    rows = table["rows"]
    assert [(row["variant"], row["memory"]) for row in rows] == [
        ("channel", allocator.USUAL),
        ("channel", allocator.KEPT),
    ]
    for row in rows:
        assert row["seconds"] > 0
        assert row["peak of the process, GB"] > 0.05
    assert {row["to the usual"] for row in rows if row["memory"] == allocator.USUAL} == {1.0}
