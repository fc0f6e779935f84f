"""The range test itself: equal starts, standing schedules, training batches alone."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn

from netdeconv.data import Splits
from netdeconv.nn import Freeze, WhitenedConv2d, Whitening
from netdeconv.experiments import RangeTest, find_rate
from netdeconv.experiments.rate_finder import standing_schedules
from netdeconv.tasks import Classification
from netdeconv.training import NetworkConfig, ParallelConfig
from small_runs import plain_config, small_config

SMALL = RangeTest(steps=20, repeats=2, warmup=2, highest=100.0)


class Unread:
    """Evaluation images that nobody may look at."""

    def __iter__(self):
        raise AssertionError("the range test read evaluation images")

    def __len__(self):
        raise AssertionError("the range test counted evaluation images")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingImagesOnly(Classification):
    def open(self, config, *, seed, device, shard=(0, 1)) -> Splits:
        splits = super().open(config, seed=seed, device=device, shard=shard)
        return dataclasses.replace(splits, evaluation=Unread())


def config(path, **changes):
    return dataclasses.replace(plain_config(path), task=TrainingImagesOnly(), precision="32-true", **changes)


def test_passes_start_alike_and_see_other_batches(tmp_path):
    curve, surroundings = find_rate(config(tmp_path), SMALL)
    assert curve.rates == pytest.approx([1e-5 * 10 ** (7 * step / 19) for step in range(20)])
    first, second = curve.passes
    assert first != second
    # the lowest rates change nothing, so the first losses are those of the same weights on other images
    assert abs(first[0] - second[0]) < 0.5
    assert surroundings["precision"] == "32-true"
    again, _ = find_rate(config(tmp_path), SMALL)
    assert again == curve
    assert not list(tmp_path.iterdir())


def test_a_pass_is_a_plain_loop_with_growing_rates(tmp_path):
    settings = config(tmp_path)
    data = settings.task.open(settings.data, seed=0, device=torch.device("cpu"))
    torch.manual_seed(settings.seed)
    network = settings.task.build_network(settings.network, data.info)
    own = settings.optimizer
    optimizer = torch.optim.SGD(network.parameters(), 1.0, momentum=own.momentum, weight_decay=own.weight_decay)
    batches = [batch for epoch in (1001, 1002, 1003) for batch in data.train.epoch(epoch)]
    test = dataclasses.replace(SMALL, warmup=0, repeats=1, highest=0.5)
    curve, _ = find_rate(settings, test)
    expected = []
    for rate, (inputs, targets), (later, their) in zip(curve.rates, batches, batches[1:], strict=False):
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
        with torch.no_grad():
            expected.append(float(nn.functional.cross_entropy(network(later), their)))
    assert curve.passes[0] == pytest.approx(expected, rel=1e-4)


def test_a_hopeless_pass_is_given_up(tmp_path):
    told = []
    network = NetworkConfig(arch="mlp", width=0.25, norm="none")
    curve, _ = find_rate(
        config(tmp_path, network=network),
        dataclasses.replace(SMALL, highest=1e20, repeats=1),
        told=lambda done, total, loss: told.append((done, total)),
    )
    assert math.isinf(curve.passes[0][-1])
    assert told[0] == (1, 2 + 1 + 21)
    assert len(told) < 2 + 1 + 21


def test_schedules_stand_still_and_go_on_afterwards():
    layer = WhitenedConv2d(2, 2, 1, whitening=Whitening(freeze=Freeze(active=1, period=4)))
    network = nn.Sequential(layer)
    x = torch.randn(4, 2, 3, 3)
    with standing_schedules(network):
        for _ in range(3):
            layer(x * 5 + 1)
    assert (int(layer.num_batches_tracked), int(layer.num_steps)) == (3, 0)
    assert layer.whitening.freeze == Freeze(active=1, period=4)
    for _ in range(3):
        layer(x)
    assert (int(layer.num_batches_tracked), int(layer.num_steps)) == (4, 3)


def test_whitened_networks_can_be_tested(tmp_path):
    curve, _ = find_rate(small_config(tmp_path), dataclasses.replace(SMALL, repeats=1))
    assert len(curve.passes[0]) == 20


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lowest": 0.0}, "rates must be 0 < lowest < highest, got 0.0 and 10.0"),
        ({"lowest": 20.0}, "rates must be 0 < lowest < highest"),
        ({"steps": 5}, "steps must be at least 20, got 5"),
        ({"repeats": 0}, "repeats must be at least 1"),
        ({"warmup": -1}, "warmup must be at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RangeTest(**settings)


def test_several_processes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="several processes train one run"):
        find_rate(config(tmp_path, parallel=ParallelConfig(devices=2)), SMALL)
