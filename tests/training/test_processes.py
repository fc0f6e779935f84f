"""Several processes train what one process trains: through torchrun, on processors, with gloo."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import processes_worker
from faults.runs import require_same
from netdeconv.training.checkpoint import load_checkpoint
from netdeconv.training.devices import build_fabric
from netdeconv.training.run_directory import RunDirectoryError, open_directory


def history(path: Path) -> list[dict]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def assert_near(found: list[dict], expected: list[dict]) -> None:
    """Equal but for the order of float32 sums, which whitening amplifies by the conditions of its matrices.

    A batch cut wrongly, a missing or a double gradient change the loss in its first two digits.
    """
    assert [record["epoch"] for record in found] == [record["epoch"] for record in expected]
    for here, there in zip(found, expected, strict=True):
        assert here["train_loss"] == pytest.approx(there["train_loss"], rel=2e-3)
        assert here["loss"] == pytest.approx(there["loss"], rel=1e-2)
        assert abs(here["accuracy"] - there["accuracy"]) <= 2.0


@pytest.fixture(scope="module")
def runs(forked, tmp_path_factory):
    """The directories of runs of one process and of two."""
    folder = tmp_path_factory.mktemp("runs")
    done = forked(processes_worker.main, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_synchronised_processes_train_as_one(runs):
    assert_near(history(runs / "together"), history(runs / "alone"))
    assert json.loads((runs / "together/environment.json").read_text())["sessions"][0]["processes"] == 2
    assert (runs / "together/csv/version_0/metrics.csv").read_text().count("\n") == 3


def test_a_run_of_one_process_goes_on_in_two(runs):
    assert_near(history(runs / "shared"), history(runs / "alone"))
    saved, whole = (load_checkpoint(runs / name / "checkpoint.pt") for name in ("shared", "alone"))
    assert saved["model"].keys() == whole["model"].keys()
    for key, value in whole["model"].items():
        assert saved["model"][key].shape == value.shape, key
    assert saved["optimizer"]["state"].keys() == whole["optimizer"]["state"].keys()
    processes = [
        session["processes"] for session in json.loads((runs / "shared/environment.json").read_text())["sessions"]
    ]
    assert processes == [1, 2, 1]


def test_sigterm_to_one_of_two_processes_saves_what_each_has_and_both_go_on_bit_for_bit(runs):
    saved = load_checkpoint(runs / "within.pt")
    first, second = saved["processes"]
    assert (saved["epoch"], len(first["losses"]), len(second["losses"])) == (0, 3, 3)
    assert first["losses"] != second["losses"]
    different = [name for name, value in first["buffers"].items() if not torch.equal(value, second["buffers"][name])]
    assert any("running_mean" in name for name in different)
    assert any(name.startswith("average.") for name in different)
    require_same(runs / "stopped", runs / "whole")


def test_a_run_of_two_processes_killed_goes_on_in_one(runs):
    assert_near(history(runs / "killed"), history(runs / "alone"))


def test_two_processes_measure_a_segmentation_network_as_one(runs):
    alone, *results = [json.loads((runs / f"{name}.json").read_text()) for name in ("1-0", "2-0", "2-1")]
    for result in results:
        # counts of pixels: exactly; the loss is a sum in another order
        assert {**result, "loss": None} == {**alone, "loss": None}
        assert result["loss"] == pytest.approx(alone["loss"], rel=1e-12)
    assert 0 < alone["accuracy"] < 100
    assert len([value for value in alone["iou"] if value is not None]) > 2


class Two:
    """The first of two processes, or the second, as Fabric shows them."""

    world_size = 2

    def __init__(self, rank, answers):
        self.is_global_zero = rank == 0
        self._answers = answers

    def broadcast(self, answer):
        if self.is_global_zero:
            self._answers.append(answer)
        return self._answers[-1]


def test_the_first_process_claims_the_folder_and_a_refusal_reaches_all(tmp_path, runs):
    answers = []
    with open_directory(Two(0, answers), tmp_path / "run", name="x", resume=False) as first:
        second = open_directory(Two(1, answers), None, name="x", resume=False)
        assert second.path == first.path
        second.write_json("summary.json", {})
        second.write_metrics([{}])
        assert not (first.path / "summary.json").exists()
    for rank in (0, 1):
        with pytest.raises(RunDirectoryError, match="already holds a run"):
            open_directory(Two(rank, answers), runs / "alone", name="x", resume=False)


def test_half_precision_needs_a_graphics_card():
    with pytest.raises(ValueError, match="16-mixed needs a graphics card"):
        build_fabric("cpu", "16-mixed")
