"""Muon on convolutions: torch's update of the weights as matrices, AdamW's for the rest, and a state that resumes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from netdeconv.training.optimizers import MuonAndAdamW


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 4 * 4, 5))


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, count: int, seed: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        optimizer.zero_grad()
        model(torch.randn(4, 3, 6, 6, generator=generator)).square().mean().backward()
        optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


def oracle_steps(model: nn.Module, count: int) -> list[torch.Tensor]:
    """torch's optimisers on a network whose weights are matrices by construction."""
    weight, head = (nn.Parameter(model[i].weight.detach().flatten(1).clone()) for i in (0, 2))
    biases = [nn.Parameter(model[i].bias.detach().clone()) for i in (0, 2)]
    muon = torch.optim.Muon([weight, head], lr=0.02, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(biases, lr=0.02, betas=(0.9, 0.999), weight_decay=0.1)
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        muon.zero_grad()
        adamw.zero_grad()
        images = torch.randn(4, 3, 6, 6, generator=generator)
        features = nn.functional.conv2d(images, weight.view(8, 3, 3, 3), biases[0]).flatten(1)
        nn.functional.linear(features, head, biases[1]).square().mean().backward()
        muon.step()
        adamw.step()
    return [weight.detach().view(8, 3, 3, 3), biases[0].detach(), head.detach(), biases[1].detach()]


def build(model: nn.Module) -> MuonAndAdamW:
    return MuonAndAdamW(model.parameters(), lr=0.02, momentum=0.9, weight_decay=0.1)


# One rounding of float32 in each of three steps; the weights move by 0.02 to 0.05.
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_three_steps_are_torchs_own_on_matrices(memory_format):
    expected = oracle_steps(network(), 3)
    model = network().to(memory_format=memory_format)
    for found, want in zip(steps(model, build(model), 3), expected, strict=True):
        assert (found - want).abs().max() <= 1e-6


def test_a_loaded_state_goes_on_bit_for_bit():
    model = network()
    optimizer = build(model)
    steps(model, optimizer, 2)
    other = copy.deepcopy(model)
    resumed = build(other)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    whole = steps(model, optimizer, 2, seed=2)
    for left, right in zip(whole, steps(other, resumed, 2, seed=2), strict=True):
        assert torch.equal(left, right)


def test_the_learning_rate_is_that_of_the_groups():
    model = network()
    optimizer = build(model)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    for left, right in zip(before, steps(model, optimizer, 1), strict=True):
        assert torch.equal(left, right)


def test_another_optimizers_state_is_refused():
    model = network()
    other = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(KeyError, match="parts"):
        build(model).load_state_dict(other.state_dict())
