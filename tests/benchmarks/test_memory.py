"""Bytes kept for backward, counted by hand on small graphs."""

from __future__ import annotations

import pytest
import torch
from benchmarks.harness.steps import TrainingStep, peak_over_step, persistent, random_batch, saved_for_backward
from torch import nn


class Keeps(torch.autograd.Function):
    """A hand-written operation that keeps its input twice, and one number more."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x, x[1:], x.new_zeros(1))
        return 2 * x

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad


def test_product_and_exponential():
    x, weight = torch.randn(8, 4), torch.randn(4, requires_grad=True)
    # the product keeps x for the weight's gradient, exp its own result; the weight itself is not needed
    assert saved_for_backward(lambda: (x * weight).exp().sum()) == 2 * 8 * 4 * 4
    assert saved_for_backward(lambda: (x * weight).exp().sum(), excluding=[x]) == 8 * 4 * 4


def test_a_storage_counts_once_and_whole():
    x = torch.randn(10, requires_grad=True)

    def forward() -> torch.Tensor:
        y = x.exp()  # kept as its own result, 40 bytes
        return y[:2].square().sum() + y[5:].square().sum()  # views of it

    assert saved_for_backward(forward) == 40
    big = torch.randn(100)
    weight = torch.randn(2, requires_grad=True)
    assert saved_for_backward(lambda: (big[:2] * weight).sum()) == 400


def test_hand_written_operations_are_seen():
    x = torch.randn(6, dtype=torch.float64, requires_grad=True)
    assert saved_for_backward(lambda: Keeps.apply(x.exp()).sum()) == 6 * 8 + 8


def test_convolution_keeps_its_input_and_no_parameter():
    layer = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Sigmoid())
    x = torch.randn(1, 2, 5, 5)
    outputs = 3 * 3 * 3 * 4  # bytes of one map of 3 channels, 3 x 3
    kept = x.numel() * 4 + 2 * outputs + 2 * 3 * 4  # input, batch norm's input, sigmoid's result, mean and deviation
    assert saved_for_backward(lambda: layer(x).sum(), excluding=persistent(layer)) == kept


def test_a_step_counts_neither_parameters_nor_the_batch():
    images, labels = random_batch(4, 4, 2, torch.device("cpu"), seed=0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    step = TrainingStep(model, images, labels, dtype="float32")
    # the flattened copy of the images (channels last in memory), the logarithms of the softmax, the loss's divisor
    assert step.backward_memory() == 4 * 48 * 4 + 4 * 2 * 4 + 4
    assert all(parameter.grad is None for parameter in model.parameters())


def test_nothing_is_kept_without_gradients():
    layer = nn.Linear(3, 3)
    with torch.no_grad():
        assert saved_for_backward(lambda: layer(torch.randn(2, 3))) == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_peak_is_counted_from_before_the_step():
    device = torch.device("cuda")
    held = torch.zeros(2**20, device=device)
    peak = peak_over_step(lambda: torch.zeros(2**20, device=device), device)
    assert 4 * 2**20 <= peak < 5 * 2**20
    assert held.numel() == 2**20
