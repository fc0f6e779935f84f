"""Networks, built and converted as the training program does it, learn two steps and fold."""

from __future__ import annotations

import json

import pytest

from benchmarks import every_network
from tolerances import FOLDED_FLOAT32

# One of each family that is no other's part: the command takes all of them, at full width, in either precision. These
# are narrow, on images of 16x16, and in float32, as bfloat16 is slow where a processor only emulates it.
FAMILIES = (
    "mlp",
    "vgg11",
    "preact_resnet18",
    "senet18",
    "densenet121",
    "resnext29_32x4d",
    "mobilenet_v2",
    "pnasnet_a",
)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_network_learns_two_steps_and_folds(name):
    row = every_network.check(name, "default", width=0.1, size=16, precisions=["float32"])
    first, second = row["losses, float32"]
    assert row["finite"]
    assert first != second  # a step that changes nothing would repeat it
    assert row["folded, difference"] <= FOLDED_FLOAT32


@pytest.mark.parametrize("variant", ["batch_norm", "default", "paper"])
def test_either_precision_and_the_table(tmp_path, variant):
    file = tmp_path / "table.json"
    every_network.main(["--archs", "lenet", "--variants", variant, "--output", str(file)])
    (row,) = json.loads(file.read_text())["rows"]
    assert row["network"] == "lenet"
    for precision in ("float32", "bfloat16"):
        first, second = row[f"losses, {precision}"]
        assert first != second
    assert row["finite"]
    assert ("folded, difference" in row) == (variant != "batch_norm")
    assert row.get("folded, difference", 0.0) <= FOLDED_FLOAT32
