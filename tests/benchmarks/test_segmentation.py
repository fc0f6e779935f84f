"""The segmentation tables: searched on images cut from train, trained, and tested once."""

from __future__ import annotations

import dataclasses
import json

import pytest
from benchmarks.render_results import load, render

import small_scenes
from benchmarks import runs, segmentation
from netdeconv.data.segmentation import Views


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Tiny scenes, narrow networks, one epoch; the folder of the tables is returned."""
    base = segmentation.base_config

    def smaller(epochs, *, validation_size=0):
        config = base(epochs, validation_size=validation_size)
        return dataclasses.replace(
            config,
            task=dataclasses.replace(config.task, views=Views(crop=(24, 32))),
            data=dataclasses.replace(config.data, batch_size=4),
            network=dataclasses.replace(config.network, width=0.125),
            precision="32-true",
        )

    monkeypatch.setattr(segmentation, "base_config", smaller)
    monkeypatch.setattr(segmentation, "LRS", [0.05, 0.02])
    monkeypatch.setattr(segmentation, "VARIANTS", ["batch_norm", "channel"])
    monkeypatch.setattr(segmentation, "SEARCH_EPOCHS", 1)
    monkeypatch.setattr(segmentation, "EPOCHS", 1)
    monkeypatch.setattr(segmentation, "CUT", 3)
    monkeypatch.setattr(segmentation, "SHOWN", 1)
    monkeypatch.setattr(runs, "RESULTS", tmp_path / "results")
    small_scenes.camvid(tmp_path)
    return tmp_path / "results" / "segmentation"


def measure(root, name, only=None):
    segmentation.measure(name, str(root), root / "runs", only, 1, "")


def test_tables_of_search_and_training(tmp_path, small):
    measure(tmp_path, "search")
    search = load(small / "camvid-search.json")
    assert [row["lr"] for row in search["rows"]] == [0.05, 0.02]
    assert all(config["data"]["validation_size"] == 3 for config in search["config"].values())
    chosen = max(search["rows"], key=lambda row: row["mean IoU"][-1])["lr"]

    measure(tmp_path, "final", only="channel")
    assert "Not trained yet: batch_norm" in load(small / "camvid.json")["note"]
    measure(tmp_path, "final")
    table = load(small / "camvid.json")
    assert [(row["variant"].split()[0], row["lr"]) for row in table["rows"]] == [
        ("batch_norm", chosen),
        ("batch_norm", 0.1),
        ("channel", 0.1),
    ]
    assert "Not trained yet" not in table["note"]
    classes, epochs = table["parts"]
    assert len(classes["rows"][0]) == 12
    assert [len(row["mean IoU"]) for row in epochs["rows"]] == [1, 1, 1]
    assert (small / "camvid-overlays.png").stat().st_size > 1000
    # test.json has kept what was read once
    kept = json.loads((tmp_path / "runs/final/channel/test.json").read_text())
    kept["last"]["mean_iou"] = 12.34
    (tmp_path / "runs/final/channel/test.json").write_text(json.dumps(kept))
    measure(tmp_path, "final")
    assert load(small / "camvid.json")["rows"][2]["mean IoU"] == 12.34
    assert table["name"] in render(runs.RESULTS)
    assert str(tmp_path) not in (small / "camvid.json").read_text()


def test_the_layout_of_cityscapes_has_its_classes(tmp_path, small, monkeypatch):
    monkeypatch.setattr(segmentation, "LAYOUT_EPOCHS", 2)
    monkeypatch.setattr(segmentation, "PAPER_LR", 0.001)  # maps of 2x2 pixels diverge with 0.01
    small_scenes.cityscapes(tmp_path, "camvid_cityscapes")
    measure(tmp_path, "layout")
    table = load(small / "camvid-cityscapes-layout.json")
    assert table["config"]["channel"]["data"]["dataset"] == "camvid_cityscapes"
    (row,) = table["rows"]
    assert len(row["mean IoU"]) == 2
    record = json.loads((tmp_path / "runs/layout/channel/metrics.jsonl").read_text().splitlines()[-1])
    assert len(record["iou"]) == 19


def test_an_unfinished_search_and_an_unknown_row_are_refused(tmp_path, small, monkeypatch):
    measure(tmp_path, "search", only="batch_norm lr 0.02")
    with pytest.raises(SystemExit, match="the search is not complete"):
        measure(tmp_path, "final")
    with pytest.raises(SystemExit, match=r"there is no row 'chanel': batch_norm lr 0\.05, batch_norm lr 0\.02"):
        measure(tmp_path, "search", only="chanel")
