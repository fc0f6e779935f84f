"""A monitor reads what is true of a layer, warns once of what is wrong with it, and changes nothing."""

from __future__ import annotations

import copy
import math
import warnings

import pytest
import torch
from torch import nn

import netdeconv as nd
from netdeconv.health import HealthWarning
from netdeconv.linalg import Eigen


def read(model: nn.Module, *batches: torch.Tensor, **settings):
    with nd.monitor(model, every=1, warn=False, **settings) as watched:
        for batch in batches:
            model(batch)
    return watched


def mixed(rows: int, scales: list[float]) -> torch.Tensor:
    """Rows whose covariance is exactly diagonal, rotated."""
    white, _ = torch.linalg.qr(torch.randn(rows, len(scales) + 1).double() - 0.1)
    white = white - white.mean(0)
    white, _ = torch.linalg.qr(white)
    rotation, _ = torch.linalg.qr(torch.randn(len(scales), len(scales)).double())
    return white[:, : len(scales)] * math.sqrt(rows) * torch.tensor(scales).double() @ rotation


def exact(features: int, **settings) -> nd.WhitenedLinear:
    whitening = nd.Whitening(root=Eigen(), eps=1e-12, group_size=64, **settings)
    return nd.WhitenedLinear(features, 3, whitening=whitening).double()


def test_numbers_are_those_of_a_known_covariance():
    layer = exact(4)
    rows = mixed(4000, [4.0, 2.0, 1.0, 0.5])
    health = read(layer, rows + 5).latest["model"]
    values = [16, 4, 1, 0.25]
    assert health.condition_before == pytest.approx(64, rel=1e-3)
    assert health.rank_before == pytest.approx(sum(values) ** 2 / sum(v**2 for v in values), rel=1e-3)
    # a share D / (n + D) = 0.1 % of the correlations is taken out, so it is not quite white
    assert health.condition_after == pytest.approx(1, abs=2e-2)
    assert health.rank_after == pytest.approx(4, abs=1e-2)
    assert health.gain == pytest.approx(2, rel=1e-2)
    assert health.variance == pytest.approx(sum(values) / 4, rel=1e-3)
    assert health.relative_gain == pytest.approx(2 * (sum(values) / 4) ** 0.5, rel=1e-2)
    assert (health.rows, health.features, health.rows_per_feature) == (4000, 4, 1000)
    assert health.mean_distance == pytest.approx(0, abs=1e-6)  # the first batch counts fully
    assert health.whitening_distance == pytest.approx(0, abs=1e-6)


def test_a_moved_input_is_far_from_the_running_statistics():
    layer = exact(4)
    rows = mixed(4000, [1.0, 1.0, 1.0, 1.0])
    watched = read(layer, rows, rows, rows, 3 * rows + 6)
    health, weight = watched.latest["model"], 0.1 / (1 - 0.9**4)
    assert health.mean_distance == pytest.approx(6 * (1 - weight) / 3, rel=1e-3)
    running = (1 - weight) + weight / 3
    assert health.whitening_distance == pytest.approx(9 * running**2 - 1, rel=1e-3)
    assert "recalibrate" in watched.warned["model", "far_statistics"]


def test_a_frozen_layer_is_compared_with_the_batch_too():
    layer = exact(4, freeze=nd.Freeze(active=1, period=100))
    rows = mixed(4000, [1.0, 1.0, 1.0, 1.0])
    health = read(layer, rows, 3 * rows).latest["model"]
    assert health.whitening_distance == pytest.approx(8, rel=1e-2)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_matrix_that_is_not_symmetric_is_read_the_right_way_round(frozen):
    """The covariance is white although the features' scales, which are taken out first, differ by ten thousand."""
    schedule = nd.Freeze(active=1, period=100) if frozen else None
    layer = exact(3, standardize=True, freeze=schedule)
    white = mixed(4000, [1.0, 1.0, 1.0])
    rows = white @ torch.tensor([[1.0, 0.5, 0.2], [0, 1, 0.3], [0, 0, 1]]).double() * torch.tensor([100.0, 1.0, 0.01])
    health = read(layer, rows).latest["model"]
    assert health.condition_after == pytest.approx(1, abs=2e-2)
    assert health.whitening_distance == pytest.approx(0, abs=1e-2)
    covariance = torch.cov(rows.T, correction=0)
    matrix = layer.statistics.running_whitening[0]
    assert (matrix - matrix.T).abs().max() > 1
    assert health.gain == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=1e-2)
    assert (matrix @ covariance @ matrix.T - torch.eye(3)).abs().max() < 1e-2


@pytest.mark.parametrize(
    ("kind", "layer", "batch", "text"),
    [
        ("few_rows", exact(36), torch.randn(12, 36), "12 rows for 36 features: smaller group_size, or sampling"),
        (
            "silent_channels",
            exact(8),
            torch.randn(99, 8) * torch.tensor([0.0] + [1.0] * 7),
            "1 dead and 0 constant of 8",
        ),
        (
            "silent_channels",
            exact(8),
            torch.randn(99, 8) * torch.tensor([0.0] + [1.0] * 7) + torch.tensor([7.0] + [0.0] * 7),
            "0 dead and 1 constant of 8",
        ),
        ("below_eps", nd.WhitenedLinear(8, 2), 1e-4 * torch.randn(99, 8), "a smaller eps"),
        ("large_gain", exact(2), torch.randn(999, 2) * torch.tensor([1.0, 1e-3]), "a larger eps"),
        ("not_finite", nd.WhitenedLinear(8, 2), torch.full((99, 8), math.nan), "check_finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*a batch with NaN")
def test_what_is_wrong_is_named_once_with_its_remedy(kind, layer, batch, text):
    model = nn.Sequential(nn.Identity(), layer)
    batch = batch.to(next(model.parameters()).dtype)
    with nd.monitor(model, every=1) as watched:
        with pytest.warns(HealthWarning, match=r"layer '1'") as seen:
            model(batch)
        assert any(text in str(each.message) for each in seen)
        assert kind in {each for _, each in watched.warned}
        with warnings.catch_warnings():
            warnings.simplefilter("error", HealthWarning)
            model(batch)


def test_a_healthy_layer_is_not_warned_of():
    model = nn.Sequential(nd.WhitenedConv2d(3, 16, 3, padding=1), nn.ReLU(), nd.WhitenedConv2d(16, 8, 3))
    assert not read(model, *torch.randn(3, 64, 3, 12, 12)).warned


def test_training_is_bit_for_bit_the_same_and_hooks_are_removed():
    torch.manual_seed(0)
    model = nn.Sequential(nd.WhitenedConv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nd.WhitenedLinear(8 * 36, 2))
    twin = copy.deepcopy(model)
    x = torch.randn(64, 3, 8, 8)
    watched = nd.monitor(model, every=2, warn=False)
    for _ in range(3):
        for each in (model, twin):
            each.zero_grad()
            each(x).square().mean().backward()
    for (name, own), other in zip(model.state_dict().items(), twin.state_dict().values(), strict=True):
        assert torch.equal(own, other), name
    for own, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(own.grad, other.grad)
    assert watched.step == 3
    assert 0 < watched.latest["0"].time_share <= 1
    watched.remove()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    model.eval()(x)


def test_evaluation_is_no_step_and_only_every_nth_is_read():
    layer = nd.WhitenedLinear(4, 2)
    read_at = []
    watched = nd.monitor(layer, every=3, on_reading=lambda seen: read_at.append(seen.step))
    for number in range(9):
        layer.train(number % 2 == 0)(torch.randn(64, 4))
    assert (watched.step, read_at) == (5, [1, 4])


def test_numbers_go_to_whatever_takes_them():
    class Board:
        def __init__(self):
            self.seen = {}

        def add_scalar(self, name, value, step):
            self.seen[name] = (value, step)

    class Bias:
        def log(self, numbers, step):
            self.seen, self.step = numbers, step

    class Lightning:
        def log_metrics(self, numbers, step):
            self.seen = {name: (value, step) for name, value in numbers.items()}

    x = torch.randn(64, 4)
    for kind in (Board, Bias, Lightning):
        place = kind()
        read(nn.Sequential(nd.WhitenedLinear(4, 2)), x, to=place)
        seen = place.seen["health/0/rows"]
        assert (seen if kind is not Bias else (seen, place.step)) == (64.0, 1)
    with pytest.raises(TypeError, match="add_scalar, log or log_metrics"):
        nd.monitor(nd.WhitenedLinear(4, 2), to=[])


def test_the_table_names_layers_and_findings():
    text = str(read(nn.Sequential(nd.WhitenedLinear(36, 2)), torch.randn(12, 36)))
    assert "0.3" in text
    assert "0: 12 rows for 36 features" in text


def test_what_cannot_be_watched_is_refused():
    with pytest.raises(ValueError, match="no whitened layer"):
        nd.monitor(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="every must be at least 1"):
        nd.monitor(nd.WhitenedLinear(2, 2), every=0)
