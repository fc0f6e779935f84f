"""State: running statistics, schedule, saving, copying, casting, and evaluation that sees every change."""

from __future__ import annotations

import copy
import dataclasses
import io
import pickle

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import netdeconv.nn as nnd
from layers import SETTINGS, build
from tolerances import assert_close

FEW = ["conv2d", "transposed", "linear", "channel map"]
FREEZE = nnd.Freeze(active=2, period=4)


def trained(kind: str, settings: nnd.Whitening, dtype: torch.dtype = torch.float32):
    layer, x = build(kind, settings, dtype)
    for _ in range(3):
        layer(torch.randn_like(x) * 2 + 1)
    return layer, x


def next_step(layer: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Output, gradients and state of one more training step, and an evaluation."""
    layer.train()
    leaf = x.clone().requires_grad_()
    y = layer(leaf)
    y.square().sum().backward()
    layer.eval()
    with torch.no_grad():
        evaluated = layer(x)
    return [y.detach(), leaf.grad, evaluated, *(p.grad for p in layer.parameters()), *layer.state_dict().values()]


def through_state_dict(layer: torch.nn.Module, kind: str) -> torch.nn.Module:
    buffer = io.BytesIO()
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    other, _ = build(kind, layer.whitening, torch.float32)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    return other


COPIES = {
    "state_dict": through_state_dict,
    "deepcopy": lambda layer, kind: copy.deepcopy(layer),
    "pickle": lambda layer, kind: pickle.loads(pickle.dumps(layer)),
}


@pytest.mark.parametrize("how", ["state_dict", "deepcopy", "pickle"])
@pytest.mark.parametrize("freeze", [None, FREEZE], ids=["unfrozen", "frozen"])
@pytest.mark.parametrize("kind", FEW)
def test_a_copy_takes_the_identical_next_step(kind, freeze, how):
    layer, x = trained(kind, dataclasses.replace(SETTINGS[0], freeze=freeze))
    other = COPIES[how](layer, kind)
    for ours, theirs in zip(next_step(layer, x), next_step(other, x), strict=True):
        assert torch.equal(ours, theirs)


def test_state_dict_names():
    layer, _ = build("conv2d", nnd.Whitening(freeze=FREEZE))
    running = ["running_mean", "running_whitening", "num_batches_tracked", "num_batches_skipped", "num_steps"]
    assert list(layer.state_dict()) == ["weight", "bias", *(f"statistics.{name}" for name in running)]


@pytest.mark.parametrize("kind", FEW)
def test_meta_device_then_materialised(kind):
    with torch.device("meta"):
        layer, _ = build(kind, SETTINGS[0], torch.float32)
    assert all(t.is_meta for t in layer.state_dict().values())
    source, x = trained(kind, SETTINGS[0])
    layer = layer.to_empty(device="cpu")
    layer.load_state_dict(source.state_dict())
    assert torch.equal(layer.eval()(x), source.eval()(x))


@pytest.mark.parametrize("kind", FEW)
def test_parameters_drawn_anew_leave_no_statistics(kind):
    """After ``to_empty`` buffers are memory that nobody wrote; torch's tools then call ``reset_parameters``."""
    layer, x = trained(kind, dataclasses.replace(SETTINGS[0], freeze=FREEZE))
    fresh, _ = build(kind, layer.whitening, torch.float32)
    layer.to("meta").to_empty(device="cpu")
    for buffer in layer.buffers():
        buffer.fill_(77)
    if isinstance(layer, nnd.ChannelWhitening):
        layer.statistics.reset_parameters()
    else:
        layer.reset_parameters()
    for ours, theirs in zip(layer.buffers(), fresh.buffers(), strict=True):
        assert torch.equal(ours, theirs)
    assert layer.eval()(x).isfinite().all()


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("freeze", [None, FREEZE], ids=["unfrozen", "frozen"])
def test_recomputation_under_checkpointing_counts_once(freeze, reentrant):
    layer, x = build("conv2d", dataclasses.replace(SETTINGS[0], freeze=freeze))
    other = copy.deepcopy(layer)
    for _ in range(5):
        leaves = [torch.randn_like(x).requires_grad_()]
        leaves.append(leaves[0].detach().clone().requires_grad_())
        layer(leaves[0]).square().sum().backward()
        checkpoint(other, leaves[1], use_reentrant=reentrant).square().sum().backward()
        assert torch.equal(leaves[0].grad, leaves[1].grad)
        for ours, theirs in zip(layer.state_dict().values(), other.state_dict().values(), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kind", FEW[:-1])
def test_a_layer_whose_weight_does_not_learn_keeps_its_statistics(kind):
    layer, x = trained(kind, SETTINGS[0], torch.float64)
    before = copy.deepcopy(layer.state_dict())
    layer.requires_grad_(False)
    leaf = x.clone().requires_grad_()
    y = layer(leaf)
    assert torch.equal(y, copy.deepcopy(layer).eval()(x))
    y.square().sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    with nnd.statistics_mode(layer, "batch"):  # a discriminator while its generator learns, for example
        assert not torch.equal(layer(x), y)
    given = {name: parameter.detach() for name, parameter in layer.named_parameters()}
    functional = torch.func.functional_call(layer, given, (x,))  # plain tensors freeze nothing
    assert not torch.equal(functional, y)


def test_first_batch_counts_fully_then_the_bias_is_corrected():
    layer = nnd.WhitenedLinear(3, 2, whitening=nnd.Whitening(momentum=0.25), dtype=torch.float64)
    batches = [torch.randn(16, 3, dtype=torch.float64) + i for i in range(3)]
    weights = torch.zeros(3, dtype=torch.float64)
    for index, batch in enumerate(batches):
        layer(batch)
        weights *= 0.75
        weights[index] = 0.25
        expected = sum(w * b.mean(0) for w, b in zip(weights / weights.sum(), batches, strict=True))
        assert_close(layer.statistics.running_mean[0], expected, size=16)


def test_no_momentum_averages_all_batches_equally():
    layer = nnd.WhitenedLinear(3, 2, whitening=nnd.Whitening(momentum=None), dtype=torch.float64)
    batches = [torch.randn(16, 3, dtype=torch.float64) + i for i in range(4)]
    for batch in batches:
        layer.observe(batch)
    assert_close(layer.statistics.running_mean[0], torch.stack(batches).mean((0, 1)), size=64)


@pytest.mark.parametrize("kind", FEW)
def test_observing_updates_as_a_training_step(kind):
    layer, x = build(kind, SETTINGS[0])
    other = copy.deepcopy(layer)
    layer(x)
    other.observe(x)
    for ours, theirs in zip(layer.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_reset_forgets_everything():
    fresh, _ = build("conv2d", dataclasses.replace(SETTINGS[0], freeze=FREEZE))
    layer = copy.deepcopy(fresh)
    layer(torch.randn(3, 4, 7, 6, dtype=torch.float64))
    layer.statistics.reset_running_stats()
    for ours, theirs in zip(layer.state_dict().values(), fresh.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_frozen_steps_use_and_keep_the_running_statistics():
    settings = nnd.Whitening(freeze=FREEZE, group_size=2, eps=0.1)
    layer, x = build("conv2d", settings)
    for step in range(10):
        before = copy.deepcopy(layer.state_dict())
        batch = torch.randn_like(x)
        reference = copy.deepcopy(layer).eval()(batch)
        y = layer(batch)
        moved = not torch.equal(before["statistics.running_whitening"], layer.statistics.running_whitening)
        assert moved == (step % 4 < 2)
        if not moved:
            assert_close(y, reference, size=36)
            assert torch.equal(before["statistics.running_mean"], layer.statistics.running_mean)
        assert int(layer.statistics.num_steps) == step + 1
    assert int(layer.statistics.num_batches_tracked) == 6


def test_frozen_steps_ignore_what_is_not_finite():
    layer, x = build("conv2d", nnd.Whitening(freeze=nnd.Freeze(active=1, period=9)))
    layer(x)
    layer(x * float("inf"))
    assert all(buffer.isfinite().all() for buffer in layer.buffers())


@pytest.mark.parametrize("kind", FEW[:-1])
def test_frozen_gradient_is_that_of_constant_statistics(kind):
    layer, x = build(kind, nnd.Whitening(freeze=nnd.Freeze(active=1, period=9), eps=0.1))
    layer(x)
    evaluated = copy.deepcopy(layer).eval()
    gradients = []
    for module in (layer, evaluated):
        leaf = (x * 2 + 1).requires_grad_()
        module(leaf).square().sum().backward()
        gradients.append(leaf.grad)
    assert_close(gradients[0], gradients[1], size=100)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_modules_keep_float32_statistics(dtype):
    layer, x = trained("conv2d", SETTINGS[0])
    before = layer.statistics.running_whitening.clone()
    layer.to(dtype)
    assert layer.weight.dtype == dtype
    assert layer.statistics.running_whitening.dtype == layer.statistics.running_mean.dtype == torch.float32
    assert torch.equal(layer.statistics.running_whitening, before)
    assert layer(x.to(dtype)).dtype == dtype
    assert layer.eval()(x.to(dtype)).dtype == dtype


CHANGES = {
    "weight in place": lambda layer: layer.weight.mul_(2),
    "statistics in place": lambda layer: layer.statistics.running_whitening.mul_(2),
    "load": lambda layer: layer.load_state_dict({k: v * 2 for k, v in layer.state_dict().items()}),
    "data": lambda layer: layer.weight.data.mul_(2),
    "a training step": lambda layer: (layer.train(), layer(torch.randn(3, 4, 7, 6)), layer.eval()),
    "reset": lambda layer: layer.statistics.reset_running_stats(),
    "assign_folded_": lambda layer: layer.assign_folded_(layer.weight * 3, layer.bias * 2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen(change):
    layer, x = trained("conv2d", SETTINGS[0])
    layer.eval()
    for parameter in layer.parameters():
        parameter.grad = torch.ones_like(parameter)
    with torch.no_grad():
        layer(x)
        CHANGES[change](layer)
        y = layer(x)
        weight, bias = layer.folded_weight_and_bias()
        expected = torch.conv2d(x, weight, bias, padding=1)
    assert_close(y, expected, size=36)


def test_functional_call_sees_the_given_parameters():
    layer, x = trained("conv2d", SETTINGS[0])
    layer.eval()
    with torch.no_grad():
        own = layer(x)
        for scale in (2.0, 3.0):
            given = {"weight": layer.weight * scale, "bias": layer.bias * scale}
            assert_close(torch.func.functional_call(layer, given, (x,)), own * scale, size=36)
        assert torch.equal(layer(x), own)


def test_functional_call_with_another_view_of_the_same_storage():
    layer = nnd.WhitenedLinear(4, 4, bias=False)
    layer(torch.randn(9, 4))
    layer.eval()
    x = torch.randn(2, 4)
    with torch.no_grad():
        layer(x)
        turned = torch.func.functional_call(layer, {"weight": layer.weight.detach().T}, (x,))
        layer.weight.copy_(layer.weight.T.clone())
        assert_close(turned, layer(x), size=4)


@pytest.mark.parametrize("freeze", [None, FREEZE], ids=["unfrozen", "frozen"])
def test_batch_mode_uses_the_batch_and_keeps_nothing(freeze):
    settings = dataclasses.replace(SETTINGS[0], freeze=freeze)
    layer, x = trained("conv2d", settings, torch.float64)
    before = copy.deepcopy(layer.state_dict())
    fresh, _ = build("conv2d", dataclasses.replace(settings, freeze=None))
    fresh.load_state_dict({k: v for k, v in before.items() if k != "statistics.num_steps"})
    with nnd.statistics_mode(layer, "batch"):
        for _ in range(3):  # where a schedule would be over
            assert torch.equal(layer(x), fresh(x))
    assert layer.statistics.mode == "scheduled"
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_average_mode_weighs_batches_alike_and_moves_no_schedule():
    layer = nnd.WhitenedLinear(3, 2, whitening=nnd.Whitening(freeze=FREEZE), dtype=torch.float64)
    batches = [torch.randn(16, 3, dtype=torch.float64) + i for i in range(4)]
    with nnd.statistics_mode(layer, "average"):
        for batch in batches:
            layer(batch)
    assert_close(layer.statistics.running_mean[0], torch.stack(batches).mean((0, 1)), size=64)
    assert int(layer.statistics.num_steps) == 0
