"""The map over learning rates shows the numbers of its rows."""

from __future__ import annotations

import pytest

from netdeconv.viz import rate_map


def test_every_row_is_a_line_in_its_panel():
    rows = [
        {"data": "digits", "normalisation": "batch norm", "lr 0.1": 20.0, "lr 0.01": 90.0, "best": 90.0},
        {"data": "digits", "normalisation": "default", "lr 0.1": 95.0, "lr 0.01": None, "best": 95.0},
        {"data": "cifar10", "normalisation": "default", "lr 0.1": 50.0, "lr 0.01": 40.0, "best": 50.0},
    ]
    figure = rate_map(rows)
    digits, cifar = figure.axes
    assert (digits.get_title(), cifar.get_title()) == ("digits", "cifar10")
    assert [line.get_label() for line in digits.lines] == ["batch norm", "default"]
    assert list(digits.lines[0].get_xdata()) == pytest.approx([0.01, 0.1])
    assert list(digits.lines[0].get_ydata()) == [90.0, 20.0]
    assert list(digits.lines[1].get_ydata()) == [95.0]
    assert cifar.lines[0].get_color() == digits.lines[1].get_color()
    assert digits.get_xscale() == "log"


def test_a_panel_has_a_legend_where_it_shows_what_none_before_it_did():
    rows = [
        {"data": data, "normalisation": name, "lr 0.1": 20.0}
        for data, names in {"a": ("x", "y"), "b": ("x",), "c": ("x", "z")}.items()
        for name in names
    ]
    assert [axis.get_legend() is not None for axis in rate_map(rows).axes] == [True, False, True]


def test_lines_of_a_panel_differ_in_colour_where_all_names_are_more_than_colours():
    rows = [{"data": data, "normalisation": f"{data}{n}", "lr 0.1": 20.0} for data in "ab" for n in range(6)]
    assert [len({line.get_color() for line in axis.lines}) for axis in rate_map(rows).axes] == [6, 6]
