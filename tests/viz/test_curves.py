"""Curves show the numbers they are given, and need no window."""

from __future__ import annotations

import pytest

from netdeconv.viz import curves

HISTORIES = {
    "batch norm": [
        [
            {"epoch": 1, "cumulative_seconds": 2.0, "train_loss": 1.5, "accuracy": 40.0, "evaluated_on": "test"},
            {"epoch": 2, "cumulative_seconds": 4.0, "train_loss": 1.0, "accuracy": 60.0, "evaluated_on": "test"},
        ]
    ],
    "full": [
        [{"epoch": 1, "cumulative_seconds": 3.0, "train_loss": 1.2, "accuracy": 55.0, "evaluated_on": "test"}],
    ],
}


def test_loss_and_accuracy_are_drawn_against_epochs_and_seconds():
    panels = curves(HISTORIES, title="vgg11 on digits").axes
    found = {
        (panel.get_xlabel(), panel.get_ylabel()): [
            [tuple(map(float, point)) for point in line.get_xydata()] for line in panel.get_lines()
        ]
        for panel in panels
    }
    assert found == {
        ("epochs", "training loss"): [[(1, 1.5), (2, 1.0)], [(1, 1.2)]],
        ("seconds of training", "training loss"): [[(2, 1.5), (4, 1.0)], [(3, 1.2)]],
        ("epochs", "test accuracy (%)"): [[(1, 40), (2, 60)], [(1, 55)]],
        ("seconds of training", "test accuracy (%)"): [[(2, 40), (4, 60)], [(3, 55)]],
    }
    assert [text.get_text() for text in panels[1].texts] == ["batch norm", "full"]


def test_seeds_are_drawn_as_mean_and_band():
    (own,) = HISTORIES["batch norm"]
    runs = [[{**record, "accuracy": record["accuracy"] + shift} for record in own] for shift in (0, 6)]
    panel = curves({"batch norm": runs}).axes[2]
    assert list(panel.get_lines()[0].get_ydata()) == [43.0, 63.0]
    band = panel.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((43 - 18**0.5, 63 + 18**0.5))


def test_a_figure_is_saved_as_png(tmp_path):
    curves(HISTORIES).savefig(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="no epochs to draw"):
        curves({"batch norm": []})
