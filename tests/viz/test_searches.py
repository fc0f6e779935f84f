"""Pictures of searches show the numbers that they are given."""

from __future__ import annotations

import itertools
import math

import pytest

from netdeconv.viz import Point, search_map


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
