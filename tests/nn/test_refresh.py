"""Matrices computed at every n-th step: rescaled between, with the gradient of mean and scale."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

import netdeconv as nd
import netdeconv.nn as nnd
from layers import KINDS, SETTINGS, build, setting_id
from netdeconv.training import batch_statistics
from tolerances import assert_close

EVERY_THIRD = [dataclasses.replace(settings, refresh_interval=3) for settings in SETTINGS]
all_settings = pytest.mark.parametrize("settings", EVERY_THIRD, ids=setting_id)


def rescaled(kind: str, settings: nnd.Whitening) -> tuple[torch.nn.Module, torch.Tensor]:
    """A layer that has refreshed once, and another batch."""
    layer, x = build(kind, settings)
    layer(x * 2 + 1)
    return layer, x


@all_settings
@pytest.mark.parametrize("kind", KINDS)
def test_a_refreshing_step_is_an_ordinary_one(kind, settings):
    layer, x = build(kind, settings)
    other, _ = build(kind, dataclasses.replace(settings, refresh_interval=1))
    other.load_state_dict(layer.state_dict(), strict=False)
    for step in range(7):
        batch = torch.randn_like(x)
        results = layer(batch), copy.deepcopy(other)(batch)
        assert torch.equal(*results) == (step % 3 == 0)
        if step % 3 == 0:
            other(batch)
        for name in ("running_mean", "running_whitening", "num_batches_tracked"):
            assert torch.equal(getattr(layer, name), getattr(other, name))


@all_settings
@pytest.mark.parametrize("kind", ["conv2d", "conv2d grouped", "transposed", "linear", "channel map"])
def test_gradients_of_a_rescaled_step(kind, settings):
    layer, x = rescaled(kind, settings)

    def call(x: torch.Tensor) -> torch.Tensor:
        layer._phase = 1
        return layer(x)

    assert torch.autograd.gradcheck(call, x.requires_grad_(), fast_mode=True)


@all_settings
@pytest.mark.parametrize("kind", ["conv2d", "linear", "channel map"])
def test_a_rescaled_step_does_not_see_shift_and_scale(kind, settings):
    """What batch norm gives, every step gives: equal outputs for shifted and scaled batches, up to eps and padding."""
    changes = {"padding": 0} if kind == "conv2d" else {}
    layer, x = build(kind, dataclasses.replace(settings, eps=1e-12), **changes)
    layer(x)
    for factor, shift in ((1.0, 0.0), (3.0, 0.0), (0.5, 4.0)):
        layer._phase = 1
        y = layer(x * factor + shift)
        layer.load_state_dict(layer.state_dict())
        if factor == 1:
            expected = y
        assert_close(y, expected, size=150, condition=1e3)


@all_settings
def test_the_same_batch_again_gives_the_same_output(settings):
    layer, x = build("conv2d", settings)
    first = layer(x)
    assert_close(layer(x), first, size=150, condition=100)


def test_backward_after_the_next_refresh_reads_what_forward_read():
    layer, x = rescaled("conv2d", dataclasses.replace(SETTINGS[1], refresh_interval=2))
    other = copy.deepcopy(layer)
    expected = torch.autograd.grad(other(x).sum(), other.weight)[0]
    y = layer(x)
    layer(torch.randn_like(x) * 5)  # refreshes
    assert torch.equal(torch.autograd.grad(y.sum(), layer.weight)[0], expected)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_state_and_phase_are_restored(steps):
    layer, x = build("conv2d", EVERY_THIRD[4])
    for _ in range(steps):
        layer(torch.randn_like(x))
    restored, _ = build("conv2d", EVERY_THIRD[4])
    restored.load_state_dict(layer.state_dict())
    copies = [restored, copy.deepcopy(layer)]
    for _ in range(3):
        batch = torch.randn_like(x)
        y = layer(batch)
        for other in copies:
            assert torch.equal(other(batch), y)


def test_reset_refreshes_next():
    layer, x = rescaled("conv2d", EVERY_THIRD[0])
    fresh, _ = build("conv2d", EVERY_THIRD[0])
    layer.reset_running_stats()
    for ours, theirs in zip(layer.buffers(), fresh.buffers(), strict=True):
        assert torch.equal(ours, theirs)
    layer(x)
    assert int(layer.num_batches_tracked) == 1


def test_whole_graph_compiles_each_phase_once():
    torch.compiler.reset()
    layer, x = build("conv2d", EVERY_THIRD[1])
    compiled = torch.compile(copy.deepcopy(layer), fullgraph=True, backend="aot_eager")
    batches = [torch.randn_like(x) for _ in range(7)]
    for step, batch in enumerate(batches):
        with torch.compiler.set_stance("fail_on_recompile") if step > 3 else torch.compiler.set_stance("default"):
            assert_close(compiled(batch), layer(batch), size=36, condition=10)


def test_half_precision_modules_keep_what_is_held_in_float32():
    layer, x = rescaled("conv2d", EVERY_THIRD[4])
    layer.float().to(torch.bfloat16)
    held = layer.held_whitening, layer.held_tap_whitening, layer.held_scale
    assert all(buffer.dtype == torch.float32 for buffer in held)
    assert layer(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("other", [{"freeze": nnd.Freeze()}, {"layout": "reference"}])
def test_two_schedules_are_refused(other):
    with pytest.raises(ValueError, match="refresh_interval is not for layers with"):
        nnd.Whitening(refresh_interval=2, **other)


def test_recalibration_takes_the_matrices_of_every_batch():
    """What is held plays no part, and is computed anew at the next step."""
    layers = [build("conv2d", settings)[0] for settings in (EVERY_THIRD[1], SETTINGS[1])]
    layers[1].load_state_dict(layers[0].state_dict(), strict=False)
    batches = [build("conv2d")[1] for _ in range(4)]
    layers[0](batches[0])
    ours, theirs = (nd.recalibrate(layer, batches) for layer in layers)
    assert torch.equal(ours.running_whitening, theirs.running_whitening)
    assert int(ours.num_batches_tracked) == 4
    ours.train()(batches[1])
    assert int(ours.num_batches_tracked) == 5


def test_evaluating_with_batch_statistics_leaves_the_schedule_alone():
    layer, x = rescaled("conv2d", EVERY_THIRD[1])
    other = copy.deepcopy(layer)
    once, _ = build("conv2d", SETTINGS[1])
    once.load_state_dict(layer.state_dict(), strict=False)
    with batch_statistics(layer):
        assert torch.equal(layer(x), once(x))
    assert torch.equal(layer(x), other(x))
