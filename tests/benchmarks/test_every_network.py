"""All networks, built and converted as the training program does it, learn in either precision and fold."""

from __future__ import annotations

import json

import pytest

from benchmarks import every_network
from tolerances import FOLDED_FLOAT32

# One of each family: the command takes all of them, at full width.
FAMILIES = (
    *("linear", "conv", "mlp", "lenet", "vgg11", "resnet18", "preact_resnet18", "senet18", "xresnet18"),
    *("densenet_cifar", "resnext29_32x4d", "mobilenet_v2", "dpn92", "pnasnet_a", "pnasnet_b", "efficientnet_b0"),
)


@pytest.mark.parametrize("variant", ["batch_norm", "channel", "paper"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_network_learns_two_steps_in_either_precision_and_folds(name, variant):
    # torch 2.15's bfloat16 weight gradient of a depthwise convolution with stride 2 reads memory that nobody wrote when
    # its input is a single pixel, which it is in the last stage of EfficientNet for images of 16x16.
    row = every_network.check(name, variant, width=0.1, size=32 if name == "efficientnet_b0" else 16)
    assert row["finite"]
    assert row.get("folded, difference", 0.0) <= FOLDED_FLOAT32
    assert ("folded, difference" in row) == (variant != "batch_norm")
    for precision in ("float32", "bfloat16"):
        first, second = row[f"losses, {precision}"]
        assert first != second  # a step that changes nothing would repeat it


def test_the_table_is_written(tmp_path, capsys):
    file = tmp_path / "table.json"
    every_network.main(["--archs", "mlp", "--variants", "channel", "--output", str(file)])
    table = json.loads(file.read_text())
    assert [row["network"] for row in table["rows"]] == ["mlp"]
    assert "mlp" in capsys.readouterr().out
