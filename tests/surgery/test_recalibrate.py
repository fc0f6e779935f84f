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
    matrices = []
    for batch in data:
        fresh = nd.WhitenedLinear(6, 3, whitening=layer.whitening)
        fresh.observe(batch)
        matrices.append(fresh.statistics.running_whitening)
    assert_close(layer.statistics.running_whitening, torch.stack(matrices).mean(0), size=3)
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


def test_modes_batch_norm_dropout_and_gradients_are_left_alone():
    model = nd.convert(Residual(), select="stem")
    model.train()
    model.body.eval()
    norm = model.hidden_norm
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    data = batches()
    state = torch.get_rng_state()
    nd.recalibrate(model, ((batch, 0) for batch in data))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(buffer, before[name]) for name, buffer in norm.named_buffers())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(buffer.requires_grad for buffer in model.buffers())
    assert [model.stem[0].training, model.body[0].training, model.dropout.training] == [True, False, True]


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
    with pytest.warns(NothingChangedWarning, match="no whitened layer"):
        nd.recalibrate(nn.Linear(2, 2), [torch.randn(4, 2)])
