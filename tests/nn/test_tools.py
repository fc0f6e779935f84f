"""torch's own training tools around whitened layers: loss scaling, half precision, averaged weights."""

from __future__ import annotations

import copy
import dataclasses
import warnings

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint

import netdeconv as nd
from layers import SETTINGS, build
from netdeconv.linalg import precision
from netdeconv.nn import statistics
from ranks_worker import small_network
from tolerances import assert_close


def test_an_overflow_in_a_batch_leaves_float16_training_sound():
    model = small_network()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    for step in range(4):
        x = torch.randn(8, 3, 6, 6) * (1e5 if step == 2 else 1.0)  # beyond float16's range
        with torch.autocast("cpu", torch.float16), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            loss = model(x).square().mean()
        optimizer.zero_grad()
        scaler.scale(loss.float()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert scaler.get_scale() == 2.0**7  # one step was skipped
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    assert [int(model[i].statistics.num_batches_skipped) for i in (0, 2, 3, 5)] == [1, 1, 1, 1]
    assert model.eval()(torch.randn(2, 3, 6, 6)).isfinite().all()


def test_a_pure_bfloat16_network_learns():
    model = small_network().bfloat16()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    x, losses = torch.randn(16, 3, 6, 6, dtype=torch.bfloat16), []
    for _ in range(8):
        loss = nn.functional.cross_entropy(model(x).float(), torch.arange(16) % 4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.3
    assert {layer.statistics.running_whitening.dtype for layer in (model[0], model[5])} == {torch.float32}


@pytest.mark.parametrize("use_buffers", [False, True])
def test_averaged_weights(use_buffers):
    model = small_network()
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=use_buffers)
    for _ in range(3):
        model(torch.randn(8, 3, 6, 6))
        with torch.no_grad():
            model[0].weight.mul_(1.5)
        averaged.update_parameters(model)
    assert not torch.equal(averaged.module[0].weight, model[0].weight)
    same = torch.equal(averaged.module[0].statistics.running_mean, model[0].statistics.running_mean)
    assert same is not use_buffers
    nd.recalibrate(averaged, [torch.randn(8, 3, 6, 6)])
    assert averaged.eval()(torch.randn(2, 3, 6, 6)).isfinite().all()


@pytest.mark.parametrize(
    ("module", "name", "gone"), [(precision, "_transformed", True), (statistics, "_backward_pass", -1)]
)
def test_a_torch_without_its_private_functions_computes_the_same(module, name, gone, monkeypatch):
    """Checkpointed activations: without the second of them only the running statistics move once more."""
    layer, x = build("conv2d", dataclasses.replace(SETTINGS[0], momentum=1.0))

    def step(own: nn.Module) -> list[torch.Tensor]:
        leaf = x.clone().requires_grad_()
        y = checkpoint(own, leaf, use_reentrant=False)
        y.square().sum().backward()
        return [y, leaf.grad, own.weight.grad, own.statistics.running_whitening]

    expected = step(copy.deepcopy(layer))
    monkeypatch.setattr(module, name, lambda: gone)
    for ours, theirs in zip(step(layer), expected, strict=True):
        assert_close(ours, theirs, size=36, condition=100)
    assert int(layer.statistics.num_batches_tracked) == (1 if gone is True else 2)
