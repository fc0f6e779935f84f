"""The lists: every name, with its numbers, for people and as JSON."""

from __future__ import annotations

import json

import pytest

from netdeconv import models
from netdeconv.cli import main
from netdeconv.data.registry import DATASETS, SEGMENTATION_DATASETS


@pytest.fixture
def few(monkeypatch):
    """Counting all networks takes seconds; these have every kind of number."""
    names = ("lenet", "resnet18")
    monkeypatch.setattr(models, "ARCHITECTURES", {name: models.ARCHITECTURES[name] for name in names})


def test_networks_have_their_numbers(few, capsys):
    assert main(["list", "archs", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["lenet", "resnet18"]
    lenet, resnet = rows
    # 6x75 and 16x150 weights with their biases; 400x120, 120x84, 84x10; batch norms of 226 channels
    assert lenet["parameters"] == 456 + 2416 + 48120 + 10164 + 850 + 2 * 226
    # every weight is used once at every output position: 28x28, 10x10, once
    assert lenet["multiply_adds"] == 784 * 450 + 100 * 2400 + 48000 + 10080 + 840
    assert resnet["parameters"] == 11_173_962
    assert resnet["source"] == "He et al. 2016"
    assert resnet["description"] == models.architecture("resnet18").description


def test_networks_are_printed_one_a_line(few, capsys):
    assert main(["list", "archs"]) == 0
    first, second, remark = capsys.readouterr().out.splitlines()
    assert first.startswith("lenet ")
    assert second.startswith("resnet18 ")
    assert "11.17 M  555.42 M" in second
    assert "He et al. 2016" in second
    assert "3x32x32" in remark


def test_data_sets_are_listed_both_ways(capsys):
    assert main(["list", "datasets", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [*DATASETS, *SEGMENTATION_DATASETS]
    assert {"shape": [3, 32, 32], "num_classes": 10}.items() <= rows[[*DATASETS].index("cifar10")].items()
    assert main(["list", "datasets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == [*DATASETS, *SEGMENTATION_DATASETS]


def test_classes_of_pixels_have_names_and_colours(capsys):
    assert main(["list", "datasets", "--json"]) == 0
    (camvid,) = [row for row in json.loads(capsys.readouterr().out) if row["name"] == "camvid"]
    assert camvid["classes"][3] == {"name": "Road", "color": [128, 64, 128]}
    assert (camvid["splits"], camvid["num_classes"], len(camvid["mean"])) == (["val", "test"], 11, 3)


def test_segmentation_networks_are_listed_both_ways(capsys):
    assert main(["list", "models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["fcn_resnet50"]["parameters"] == 35_322_218
    assert rows["fcn_resnet18"]["output_strides"] == [16, 8, 32]
    assert main(["list", "models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == list(rows)
    assert "35.32 M" in lines[2]
