"""The lists: every name, with its numbers, for people and as JSON."""

from __future__ import annotations

import json

from netdeconv import models
from netdeconv.cli import main
from netdeconv.data.registry import DATASETS, SEGMENTATION_DATASETS


def test_networks_are_listed_both_ways(capsys):
    assert main(["list", "archs", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert [*rows] == [*models.ARCHITECTURES]
    assert rows["resnet18"]["source"] == "He et al. 2016"
    assert rows["resnet18"]["description"] == models.architecture("resnet18").description
    assert main(["list", "archs"]) == 0
    *lines, remark = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*rows]
    assert "He et al. 2016" in next(line for line in lines if line.startswith("resnet18 "))
    assert remark.startswith("(name, description, source; ")


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
    assert rows["fcn_resnet18"]["output_strides"] == [16, 8, 32]
    assert main(["list", "models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == list(rows)
