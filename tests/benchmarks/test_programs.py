"""Every measuring program once, at sizes of a fraction of a second: what it writes, and what failing leaves."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.harness import variants
from benchmarks.pages.markdown import load

from benchmarks import against, inference, training_step
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
    table = measured(training_step, path, *SMALL, "--dtype", dtype, "--variants", *names, "--profile", *names[1:3])
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
    (profile,) = table["parts"]
    calls = {row["operations"]: (row["batch_norm, calls"], row["channel, calls"]) for row in profile["rows"]}
    assert calls["batch norm"][0] > 0 == calls["batch norm"][1]
    assert calls["products of matrices"][1] > calls["products of matrices"][0] > 0
    assert calls["all"] == tuple(sum(count[n] for kind, count in calls.items() if kind != "all") for n in (0, 1))


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
        (["--arch", "vgg11", "--width", "0.25"], "training-step-vgg11-width0.25-float32-cpu.json"),
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


def test_inference(tmp_path):
    table = measured(inference, tmp_path / "inference.json", *SMALL, "--variants", "paper", "published")
    rows = by_name(table)
    assert list(rows) == ["none", "batch_norm", "batch_norm, fused", "paper", "paper, folded", "published"]
    for name in ("batch_norm, fused", "paper, folded"):
        assert rows[name]["difference"] <= FOLDED_FLOAT32
    assert rows["none"]["to no norm"] == rows["batch_norm, fused"]["to batch norm, fused"] == 1.0


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


def train_against() -> None:
    """What a process of ``against`` does when it is told to take two steps."""
    sys.argv = ["-c", "lenet", "4", "float32", "1"]
    sys.stdin = io.StringIO("batch_norm\ndefault\n")
    exec(against.WORKER, {})


def test_against(forked, tmp_path, monkeypatch):
    """One process trains; of the others it is known what they would measure."""
    source = str(REPOSITORY / "src")
    done = forked(train_against)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        seconds, memory = map(float, line.split())
        assert seconds > 0
        assert 0.1 < memory < 10  # MiB, of a batch that small
    assert done.stdout.count("\n") == 2

    told = "import os, sys\nhere = int(os.environ['PYTHONPATH'] == sys.argv[1])\n"
    told += "for line in sys.stdin: print(len(line), here, flush=True)"
    with monkeypatch.context() as patched:  # a process that says what it is told
        patched.setattr(against, "WORKER", told)
        trainer = against.Trainer(REPOSITORY / "src", [source])
        assert trainer.step("batch_norm") == (11.0, 1.0)
        trainer.close()

    class Known:
        def __init__(self, source: Path, settings: list[str]) -> None:
            self.seconds = 0.2 if source == against.HERE else 0.1

        def step(self, variant: str) -> tuple[float, float]:
            return self.seconds * (1 if variant == "batch_norm" else 3), 100.0

        def close(self) -> None:
            pass

    monkeypatch.setattr(against, "Trainer", Known)
    arguments = ["--arch", "lenet", "--variants", "batch_norm", "default", "--other", "/elsewhere", "--commit", "abc"]
    table = measured(against, tmp_path / "a.json", *arguments)
    found = {(row["checkout"], row["variant"]): (row["ms"], row["step / batch norm"]) for row in table["rows"]}
    assert found == {
        ("abc", "batch_norm"): (100.0, 1.0),
        ("abc", "default"): (300.0, 3.0),
        ("here", "batch_norm"): (200.0, 1.0),
        ("here", "default"): (600.0, 3.0),
    }
    assert source not in json.dumps(table)


def test_the_script_refuses_unknown_parts():
    done = subprocess.run(
        ["bash", "benchmarks/gpu.sh", "nonsense"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout.endswith("no such part: nonsense\n")
    assert "Needs: an NVIDIA card" in done.stdout
