"""describe: the rows are what the layers are, and costs are counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netdeconv as nd
from netdeconv.surgery import LayerCost, describe


def test_rows_say_what_layers_are():
    model = nn.Sequential(
        nd.WhitenedConv2d(12, 8, 3, groups=2, whitening=nd.Whitening(group_size=4, num_iterations=3)),
        nd.WhitenedConv2d(7, 8, 3, whitening=nd.Whitening(group_size=4)),
        nd.WhitenedConv2d(8, 8, 3, whitening=nd.Whitening(structure="channel")),
        nd.WhitenedLinear(8, 2),
    )
    rows = describe(model)
    assert len(rows) == 4
    assert [row.name for row in rows] == ["0", "1", "2", "3"]
    assert [row.structure for row in rows] == ["full", "full", "channel", "channel"]
    first = rows[0]
    assert (first.type, first.num_matrices, first.num_groups, first.group_size) == ("WhitenedConv2d", 2, 2, 3)
    assert (first.matrix_size, first.num_iterations, first.cost) == (27, 3, None)
    assert (rows[1].matrix_size, rows[1].num_groups, rows[1].group_size) == (36, 2, 4)


def cost(layer: nn.Module, *shape: int) -> LayerCost:
    found = describe(nn.Sequential(layer), torch.randn(shape))[0].cost
    assert found is not None
    return found


def test_costs_of_a_convolution():
    # 9x9 outputs, every third sampled: 3x3 of each of 2 images; D = 4 * 9 = 36 features in each of 2 blocks
    layer = nd.WhitenedConv2d(8, 5, 3, padding=1, whitening=nd.Whitening(group_size=4, num_iterations=5))
    plain = 2 * 81 * 5 * 8 * 9
    found = cost(layer, 2, 8, 9, 9)
    assert found.covariance == pytest.approx(2 * 9 * 2 * 36**2 / plain)
    assert found.inverse_root == pytest.approx(12 * 36**3 / plain)
    assert found.weight_product == pytest.approx(5 * 8 * 9 * 36 / plain)
    assert found.total == pytest.approx(found.covariance + found.inverse_root + found.weight_product)


def test_costs_of_grouped_and_unbatched_input():
    layer = nd.WhitenedConv1d(8, 6, 3, stride=2, groups=2, whitening=nd.Whitening(num_iterations=1))
    plain = 5 * 6 * 4 * 3  # (12 - 3) // 2 + 1 = 5 outputs
    found = cost(layer, 8, 12)
    assert found.covariance == pytest.approx(2 * 3 * 12**2 / plain)  # of 5 positions every second: 4 are few
    assert found.inverse_root == 0
    assert found.weight_product == pytest.approx(6 * 4 * 3 * 12 / plain)


def test_costs_of_linear_transposed_and_channel_whitening():
    found = cost(nd.WhitenedLinear(8, 3, whitening=nd.Whitening(group_size=4)), 5, 7, 8)
    assert found.covariance == pytest.approx(35 * 2 * 16 / (35 * 24))
    assert found.weight_product == pytest.approx(24 * 4 / (35 * 24))
    layer = nd.WhitenedConvTranspose2d(4, 3, 2, stride=2, whitening=nd.Whitening(sampling_stride=2))
    assert cost(layer, 2, 4, 5, 5).covariance == pytest.approx(2 * 9 * 16 / (2 * 25 * 4 * 3 * 4))
    channel = nd.ChannelWhitening(8, whitening=nd.Whitening(group_size=4, sampling_stride=2))
    found = cost(channel, 2, 8, 4, 4)
    assert found.covariance == pytest.approx(2 * 16 * 2 * 16 / (32 * 8 * 4))  # all positions of so small a map
    assert found.weight_product == 0


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nd.WhitenedConv2d(3, 4, 3), nn.Dropout()).train()
    state = torch.get_rng_state()
    x = torch.ones(2, 3, 6, 6)
    describe(model, {"input": x})
    assert int(model[0].statistics.num_batches_tracked) == 0
    assert model.training
    assert model[0].training
    assert not model[0]._forward_hooks
    assert torch.equal(torch.get_rng_state(), state)


def test_the_table_reads_well():
    model = nn.Sequential(nd.WhitenedConv2d(3, 4, 3), nn.Flatten(), nd.WhitenedLinear(64, 2))
    text = str(describe(model, torch.randn(4, 3, 6, 6)))
    lines = text.splitlines()
    assert len(lines) == 4
    assert lines[0].split("  ")[0] == "layer"
    assert "covariance" in lines[0]
    assert lines[2].split() == [
        "0",
        "WhitenedConv2d",
        "full",
        "3",
        "1",
        "1",
        "x",
        "27x27",
        "5",
        "6.750",
        "34.172",
        "0.422",
    ]
    assert str(describe(nn.Linear(2, 2))).splitlines()[0].startswith("layer")
