"""Steps of segmentation are timed against batch norm's, with the task's own loss."""

from __future__ import annotations

import dataclasses
import json

import torch
from benchmarks.segmentation import base_config

from benchmarks import segmentation_steps
from netdeconv.data.segmentation import Views


def test_the_table_has_a_ratio_to_batch_norm(tmp_path, monkeypatch, capsys):
    config = base_config(1)
    task = dataclasses.replace(config.task, views=Views(size=(32, 48), crop=(32, 48)))
    network = dataclasses.replace(config.network, width=0.125)
    small = dataclasses.replace(config, task=task, network=network)
    monkeypatch.setattr(segmentation_steps, "base_config", lambda epochs: small)
    file = tmp_path / "table.json"
    segmentation_steps.main(["--rounds", "1", "--threads", "1", "--output", str(file)])
    rows = {row["variant"]: row for row in json.loads(file.read_text())["rows"]}
    assert rows["batch_norm"]["to batch norm"] == 1.0
    assert set(rows) == {"batch_norm", "default", "channel", "paper"}
    assert "channel" in capsys.readouterr().out


def test_a_step_has_the_loss_of_the_task():
    config = base_config(1)
    config = dataclasses.replace(config, network=dataclasses.replace(config.network, width=0.125))
    images, masks = torch.randn(2, 3, 32, 48), torch.randint(11, (2, 32, 48))
    step = segmentation_steps.SegmentationStep(config, images, masks)
    torch.manual_seed(1)  # the heads drop out
    with torch.autocast("cpu", torch.bfloat16):
        outputs = step.network(images)
    assert set(outputs) == {"out", "aux"}
    expected = config.task.compute_loss(outputs, masks)
    torch.manual_seed(1)
    assert torch.equal(step.forward(), expected)
