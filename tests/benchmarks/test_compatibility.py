"""The table of other libraries' networks: a row, an error as a row, what passes, the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from benchmarks.compatibility_networks import NAMES

from benchmarks import compatibility, compatibility_check, compatibility_page

REPOSITORY = Path(__file__).resolve().parents[2]


def check(*arguments: str) -> None:
    """The check of networks, on a few images and labels that are drawn."""
    compatibility_check.BATCH = 4
    number = (compatibility.BATCHES + 1) * compatibility_check.BATCH
    drawn = torch.randn(number, 3, 32, 32), torch.arange(number) % 10
    compatibility.images_and_labels = lambda root, further: drawn
    compatibility.main([*arguments])


GOOD = {
    **{"network": "a", "norms left": "0 of 5", "norms left, why": "", "first loss, batch norm": 2.3},
    **{"last loss, batch norm": 2.0, "first loss, converted": 2.4},
    **{"last loss, converted": 2.2, "evaluated, batch statistics": 2.3, "evaluated, running": 9.0},
    **{"evaluated, recalibrated": 2.5, "folded, difference": 1e-6, "calibration, difference": 1e-6},
}


def test_a_network_and_an_error_are_rows(forked, tmp_path):
    """In a process of its own, for the check forks."""
    file = tmp_path / "table.json"
    names = ("torchvision/shufflenet_v2_x0_5", "torchvision/nothing")
    done = forked(check, "--names", *names, "--steps", "2", "--output", str(file), cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    good, bad = json.loads(file.read_text())["rows"]
    assert good["whitened"] == "57 of 57"
    assert good["norms left"] == "0 of 56"
    assert good["folded, difference"] <= compatibility_page.FOLDED
    assert good["calibration, difference"] <= compatibility_page.CALIBRATED
    assert "error" not in compatibility_page.failures(good)
    assert "nothing" in bad["error"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, []),
        ({"norms left": "2 of 5"}, ["norms left without a reason"]),
        ({"norms left": "2 of 5", "norms left, why": "2 x ..."}, []),
        ({"first loss, converted": 4.0}, ["first loss"]),
        ({"last loss, converted": float("nan")}, ["last loss"]),
        ({"evaluated, recalibrated": float("inf")}, ["evaluation"]),
        ({"folded, difference": 1e-2, "calibration, difference": 1.0}, ["fold", "calibration"]),
        ({"error": "ValueError: no"}, ["ValueError: no"]),
    ],
)
def test_what_passes(change, reason):
    assert compatibility_page.failures(GOOD | change) == reason


def test_the_page_is_what_the_results_say():
    assert len(NAMES) == len(set(NAMES))
    assert sum(name.startswith("timm/") for name in NAMES) >= 100
    table = compatibility_page.load(compatibility_page.SOURCE)
    assert compatibility_page.render(table) in compatibility_page.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(("note", "ends"), [({}, "1 minutes."), ({"note": "One network."}, "One network.")])
def test_a_note_is_shown_where_there_is_one(note, ends):
    row = GOOD | {"pixels": 64, "steps": 20, "whitened": "5 of 5"}
    table = {"command": "python -m benchmarks.compatibility", "hardware": "a processor", "minutes": 1, "rows": [row]}
    assert compatibility_page.render(table | note).split("\n\n")[-2].endswith(ends)
