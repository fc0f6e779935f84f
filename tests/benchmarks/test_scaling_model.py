"""The model of the page on scaling: its sizes are those of the layers, its times those of the formula."""

from __future__ import annotations

import pytest
from benchmarks.scaling_model import Cluster, payloads
from torch import nn

from benchmarks import scaling_model
from netdeconv import WhitenedConv2d, WhitenedLinear, Whitening


def test_the_page_is_what_the_model_says(capsys):
    assert scaling_model.update(scaling_model.PAGE, scaling_model.render(), check=True) == 0


def test_payloads_are_count_sums_and_products():
    model = nn.Sequential(
        WhitenedConv2d(8, 4, 3, whitening=Whitening(group_size=4)),
        WhitenedConv2d(4, 4, 1, groups=2),
        nn.ReLU(),
        WhitenedLinear(6, 2),
    )
    assert payloads(model) == [4 * (1 + 36 + 36 * 36), 4 * (1 + 2 * (2 + 4)), 4 * (1 + 6 + 36)]


def test_seconds_of_an_all_reduce():
    cluster = Cluster(ranks_per_node=4, inside=8.0, outside=2.0, start=1.0, hop=0.5)
    assert cluster.all_reduce(16, 4) == pytest.approx(1 + 2 * 16 * 3 / 4 / 8)
    assert cluster.all_reduce(16, 16) == pytest.approx(1 + 3 + 2 * 0.5 * 2 + 2 * 4 * 3 / 4 / 2)
