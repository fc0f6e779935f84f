"""Pictures of searches and range tests show the numbers that they are given."""

from __future__ import annotations

import itertools
import math

import pytest

from netdeconv.viz import Point, rate_curve, search_map

RATES = [10 ** (step / 10 - 4) for step in range(40)]


def ticks(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def test_a_grid_becomes_a_map_with_its_best_point_and_zero():
    points = [Point(lr, wd, 10 * lr + 80, lr < 1) for lr, wd in itertools.product((0.01, 0.1, 1.0), (0.0, 1e-4, 1e-3))]
    figure = search_map(points, score="mean iou", title="a search")
    axes = figure.axes[0]
    finished, best, rest = axes.collections[-3:]
    assert sorted(set(finished.get_array())) == pytest.approx([80.1, 81.0])
    assert best.get_offsets()[0][0] == pytest.approx(-1)
    assert len(rest.get_offsets()) == 3
    assert [y for _, y in rest.get_offsets()] == pytest.approx([-5, -4, -3])
    assert "0" in ticks(axes.yaxis)
    assert "1e-04" in ticks(axes.yaxis)
    assert len(axes.collections) > 3  # the map behind the points
    assert figure.axes[1].get_ylabel() == "mean iou (%)"
    assert axes.get_title() == "a search"


@pytest.mark.parametrize(
    ("points", "name"),
    [
        ([Point(lr, 1e-3, 10 * lr, lr < 1) for lr in (0.3, 0.01, 1.0)], "learning rate"),
        ([Point(0.1, wd, 1e4 * wd, wd < 1e-2) for wd in (3e-3, 1e-4, 1e-2)], "weight decay"),
    ],
)
def test_one_setting_becomes_a_curve(points, name):
    axes = search_map(points).axes[0]
    assert axes.get_xlabel() == name
    line, stopped = axes.lines
    values = sorted((p.x if name == "learning rate" else p.y, p.score) for p in points[:2])
    assert list(line.get_xdata()) == pytest.approx([math.log10(value) for value, _ in values])
    assert list(line.get_ydata()) == pytest.approx([score for _, score in values])
    assert stopped.get_xdata()[0] == pytest.approx(0 if name == "learning rate" else -2)


def test_points_on_a_line_and_few_points_need_no_map():
    for points in ([(0.1, 0.1), (0.2, 0.2), (0.4, 0.4), (0.8, 0.8)], [(0.1, 0.3), (0.2, 0.1)], [(0.1, 0.1)]):
        figure = search_map([Point(x, y, 50 + x, True) for x, y in points])
        assert figure.axes
    nothing = search_map([Point(0.1, 0.1, None, False), Point(0.2, 0.1, None, False), Point(0.2, 0.3, None, False)])
    assert nothing.axes[0].get_xlabel() == "learning rate"
    with pytest.raises(ValueError, match="no trials"):
        search_map([])


def test_a_range_test_shows_passes_curve_and_marks(tmp_path):
    losses = [2.3 - step / 40 for step in range(30)] + [9.0, 20.0]
    passes = [[*losses, *[math.inf] * 8], [loss + 0.1 for loss in losses] + [math.inf] * 8]
    marks = {"suggestion": 0.02, "divergence": None}
    figure = rate_curve(RATES, passes, losses, marks, title="rates")
    axes = figure.axes[0]
    assert [line.get_label() for line in axes.lines][2:] == ["their median, filtered", "suggestion: 0.02"]
    assert list(axes.lines[2].get_ydata()) == losses
    assert math.isnan(axes.lines[0].get_ydata()[-1])
    # the steep rise at the end does not press the descent flat
    low, high = axes.get_ylim()
    assert low < min(losses) < max(losses[:30]) < high < 4
    figure.savefig(tmp_path / "rates.png")
    assert rate_curve(RATES, passes, [], {}).axes
