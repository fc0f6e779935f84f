"""recalibrate: statistics are the exact average over the batches, and everything else is as before."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

import netdeconv as nd
from netdeconv.surgery import NothingChangedWarning
from surgery.networks import Residual, batches
from tolerances import assert_close


def test_one_layer_has_the_mean_of_all_batches():
    data = [torch.randn(16, 6) * scale + scale for scale in (1, 2, 4)]
    layer = nd.WhitenedLinear(6, 3, whitening=nd.Whitening(group_size=6, momentum=0.1))
    layer(torch.randn(16, 6) * 100)
    assert nd.recalibrate(layer, data) is layer
    assert_close(layer.statistics.running_mean[0], torch.stack([batch.mean(0) for batch in data]).mean(0), size=48)
    covariances = []  # as few steps whiten them
    for batch in data:
        fresh = nd.WhitenedLinear(6, 3, whitening=layer.whitening)
        fresh.observe(batch)
        covariances.append(fresh.statistics.running_whitening.double().matrix_power(-2))
    whitened = layer.statistics.running_whitening.double().matrix_power(2) @ torch.stack(covariances).mean(0)
    assert_close(whitened.float(), torch.eye(6).expand(1, 6, 6), size=6 * 6)
    assert int(layer.statistics.num_batches_tracked) == 3
    assert layer.whitening.momentum == 0.1


def test_later_layers_see_what_they_see_in_training():
    data = batches(2)
    settings = nd.Whitening(group_size=4)
    model = nd.convert(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)), settings)
    nd.recalibrate(model, data)
    means = []
    for batch in data:
        model[0].train()
        inner = model[1](model[0](batch)).detach()
        fresh = nd.WhitenedConv2d(4, 4, 3, whitening=settings)
        fresh.observe(inner)
        means.append(fresh.statistics.running_mean)
    assert_close(model[2].statistics.running_mean, torch.stack(means).mean(0), size=8 * 25)


def test_modes_dropout_and_gradients_are_left_alone():
    model = nd.convert(Residual(), select="stem")
    model.train()
    model.body.eval()
    data = batches()
    state = torch.get_rng_state()
    nd.recalibrate(model, ((batch, 0) for batch in data))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(buffer.requires_grad for buffer in model.buffers())
    assert [model.stem[0].training, model.body[0].training, model.dropout.training] == [True, False, True]


@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norms_average_the_same_batches(momentum):
    model = nn.Sequential(nd.WhitenedLinear(4, 3), nn.BatchNorm1d(3, momentum=momentum)).eval()
    model[1].running_mean.fill_(9)
    data = [torch.randn(8, 4) * scale + scale for scale in (1, 2, 4)]
    nd.recalibrate(model, data)
    with torch.no_grad():
        inner = [model[0].train()(batch) for batch in data]
    assert_close(model[1].running_mean, torch.stack([each.mean(0) for each in inner]).mean(0), size=24)
    assert_close(model[1].running_var, torch.stack([each.var(0) for each in inner]).mean(0), size=24)
    assert int(model[1].num_batches_tracked) == 3
    assert model[1].momentum == momentum
    assert not model[1].training


def test_batch_norm_alone_is_enough_and_one_without_statistics_stays():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4, track_running_stats=False))
    x = torch.randn(8, 4) + 3
    nd.recalibrate(model, [x])
    assert_close(model[0].running_mean, x.mean(0), size=8)
    assert model[1].running_mean is None


def test_a_failing_batch_gives_momentum_and_norms_back():
    model = nn.Sequential(nn.BatchNorm1d(4), nd.WhitenedLinear(4, 2))
    model(torch.randn(8, 4))
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with pytest.raises(RuntimeError):
        nd.recalibrate(model, [torch.randn(8, 4), torch.randn(8, 5)])
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    assert (model[0].momentum, model[0].training) == (0.1, True)


def test_forward_takes_batches_of_any_kind():
    data = [torch.randn(16, 4) + shift for shift in (1, 3)]
    layer = nd.WhitenedLinear(4, 2)
    seen = []

    def forward(model, batch):
        seen.append(batch["name"])
        model(batch["rows"])

    nd.recalibrate(layer, ({"rows": rows, "name": number} for number, rows in enumerate(data)), forward=forward)
    assert seen == [0, 1]
    assert_close(layer.statistics.running_mean[0], torch.cat(data).mean(0), size=32)


@pytest.mark.parametrize("training", [True, False])
def test_batch_statistics_normalise_with_the_batch_and_keep_nothing(training):
    freeze = nd.Freeze(active=1, period=4)
    held = nd.WhitenedLinear(4, 4, whitening=nd.Whitening(freeze=freeze))
    model = nn.Sequential(held, nn.BatchNorm1d(4), nn.Dropout(), nd.WhitenedLinear(4, 2))
    model(torch.randn(16, 4))  # its schedule now holds the first layer's statistics
    model.train(training)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    x = torch.randn(16, 4) * 3 + 5
    with nd.surgery.batch_statistics(model) as same, torch.no_grad():
        assert same is model
        assert not model[2].training
        actual = model(x)
    fresh = nd.WhitenedLinear(4, 4)
    fresh.load_state_dict(held.state_dict(), strict=False)
    with torch.no_grad():
        inner = nn.functional.batch_norm(fresh(x), None, None, model[1].weight, model[1].bias, training=True)
        last = nd.WhitenedLinear(4, 2)
        last.load_state_dict(model[3].state_dict())
        assert_close(actual, last(inner), size=64)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    assert {module.training for module in model.modules()} == {training}
    with torch.no_grad():
        assert not torch.allclose(model.eval()(x), actual, rtol=0.1)


def test_batch_statistics_end_with_an_error_too():
    model = nn.Sequential(nd.WhitenedLinear(4, 2), nn.BatchNorm1d(2)).eval()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with pytest.raises(ValueError, match="at least two sampled rows"), nd.surgery.batch_statistics(model):
        model(torch.randn(1, 4))
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_a_frozen_layer_is_recalibrated_too_and_keeps_its_place_in_the_schedule():
    freeze = nd.Freeze(active=1, period=4)
    layer = nd.WhitenedLinear(4, 2, whitening=nd.Whitening(freeze=freeze))
    for _ in range(3):
        layer(torch.randn(8, 4))
    data = [torch.randn(8, 4) + 5, torch.randn(8, 4) + 7]
    nd.recalibrate(layer, data)
    assert int(layer.statistics.num_steps) == 3
    assert layer.whitening.freeze == freeze
    assert_close(layer.statistics.running_mean[0], torch.cat(data).mean(0), size=16)


def test_evaluation_uses_the_new_statistics():
    layer = nd.WhitenedLinear(4, 2).eval()
    x = torch.randn(8, 4) + 3
    before = layer(x).detach()
    nd.recalibrate(layer, [x])
    assert not torch.allclose(layer(x), before)
    assert_close(layer(x), nd.fold(layer)(x), size=4)


def test_layers_that_no_batch_reaches_keep_their_statistics(caplog):
    model = nn.ModuleDict({"used": nd.WhitenedLinear(4, 2), "unused": nd.WhitenedLinear(4, 2)})
    model["unused"](torch.randn(8, 4))
    mean = model["unused"].statistics.running_mean.clone()
    model.forward = lambda x: model["used"](x)
    with caplog.at_level(logging.INFO, logger="netdeconv.surgery"):
        nd.recalibrate(model, [torch.randn(8, 4)])
    assert caplog.messages == ["unused: no batch reached it, its statistics stay as they were"]
    assert torch.equal(model["unused"].statistics.running_mean, mean)
    assert int(model["unused"].statistics.num_batches_tracked) == 1


def test_bad_batches_leave_the_statistics_as_they_were():
    layer = nd.WhitenedLinear(4, 2)
    layer(torch.randn(8, 4))
    before = {name: buffer.clone() for name, buffer in layer.named_buffers()}
    with pytest.raises(ValueError, match="no batches"):
        nd.recalibrate(layer, [])
    with pytest.raises(TypeError, match=r"pass \[batch\]"):
        nd.recalibrate(layer, torch.randn(8, 4))
    with pytest.raises(ValueError, match="at least two sampled rows"):
        nd.recalibrate(layer.eval(), [torch.randn(8, 4), torch.randn(1, 4)])
    assert all(torch.equal(buffer, before[name]) for name, buffer in layer.named_buffers())
    assert layer.whitening.momentum == 0.1
    assert not layer.training


def test_nothing_to_recalibrate_warns():
    with pytest.warns(NothingChangedWarning, match="recalibrate changed nothing: no running statistics"):
        nd.recalibrate(nn.Linear(2, 2), [torch.randn(4, 2)])


@pytest.mark.parametrize("standardize", [False, True])
def test_covariances_are_averaged_and_not_their_roots(standardize):
    whitening = nd.Whitening(group_size=3, standardize=standardize, num_iterations=30)
    model = nn.Sequential(nd.WhitenedLinear(3, 2, whitening=whitening, dtype=torch.float64))
    data = [torch.randn(400, 3, dtype=torch.float64) * 2 for _ in range(2)]
    data[0][:, 1] = 0.0  # a channel that one batch never saw: its root there is 316, its variance nothing
    nd.recalibrate(model, data)
    matrix = model[0].statistics.running_whitening[0]
    covariances = [torch.cov(batch.T, correction=0) for batch in data]
    shrunk = [c + 3 / 403 * (c.diag().diag() - c) + 1e-5 * torch.eye(3, dtype=c.dtype) for c in covariances]
    found = matrix @ sum(shrunk) / 2 @ matrix.T
    torch.testing.assert_close(found, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-4)
