"""What the blocks compute, where parameter counts and shapes do not show it."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.ops import SqueezeExcitation

from netdeconv.models.blocks import Residual, scaled, squeeze_excitation
from netdeconv.models.dpn import DualPathBlock
from netdeconv.models.mobilenet import inverted_bottleneck
from netdeconv.models.pnasnet import cell_a
from netdeconv.models.preact import PreActivationBlock
from tolerances import assert_close


def image(channels: int = 4, side: int = 6) -> torch.Tensor:
    return torch.randn(2, channels, side, side)


def silence(branch: nn.Module, value: float = 0.0) -> None:
    """Make a branch that ends with batch norm return a constant."""
    last = [module for module in branch.modules() if isinstance(module, nn.BatchNorm2d)][-1]
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, value)


def test_channels_are_rounded_and_never_vanish():
    assert [scaled(64, width) for width in (1.0, 0.25, 0.02, 0.001)] == [64, 16, 1, 1]


def test_a_residual_block_activates_the_sum():
    x = image()
    block = Residual(nn.Conv2d(4, 4, 1), nn.Identity())
    assert torch.equal(block(x), torch.relu(block.branch(x) + x))


def test_squeeze_and_excitation_scales_channels_by_what_their_means_say():
    x = image(channels=32)
    module = squeeze_excitation(32)
    first, second = module.fc1, module.fc2
    assert first.out_channels == 2
    hidden = torch.relu(x.mean((2, 3)) @ first.weight[:, :, 0, 0].T + first.bias)
    gate = torch.sigmoid(hidden @ second.weight[:, :, 0, 0].T + second.bias)
    assert_close(module(x), x * gate[:, :, None, None], size=36)
    assert squeeze_excitation(8).fc1.out_channels == 1


def test_a_dual_path_block_adds_to_its_first_channels_and_appends_the_others():
    x = image(channels=7)
    block = DualPathBlock(7, 8, 5, 2, groups=4, stride=None)
    silence(block.branch, 1.0)
    expected = torch.relu(torch.cat((x[:, :5] + 1, x[:, 5:], torch.ones(2, 2, 6, 6)), dim=1))
    assert torch.equal(block(x), expected)
    first = DualPathBlock(7, 8, 5, 2, groups=4, stride=1)
    silence(first.branch, 1.0)
    path = first.shortcut(x)
    expected = torch.relu(torch.cat((path[:, :5] + 1, path[:, 5:], torch.ones(2, 2, 6, 6)), dim=1))
    assert torch.equal(first(x), expected)


def test_a_pre_activation_block_activates_what_its_convolutions_see():
    x = image()
    same = PreActivationBlock(4, 4, 1, squeeze=False)
    nn.init.zeros_(same.branch[-1].weight)
    assert torch.equal(same(x), x)
    other = PreActivationBlock(4, 6, 2, squeeze=False)
    nn.init.zeros_(other.branch[-1].weight)
    assert torch.equal(other(x), other.shortcut(torch.relu(other.activate[0](x))))


def test_squeeze_and_excitation_ends_the_branch_of_senet():
    x = image()
    block = PreActivationBlock(4, 4, 1, squeeze=True)
    nn.init.zeros_(block.branch[-1].fc2.weight)
    nn.init.zeros_(block.branch[-1].fc2.bias)  # all gates are 1/2
    assert_close(block(x) - x, 0.5 * block.branch[:-1](block.activate(x)), size=8)


def test_an_inverted_bottleneck_is_linear_at_its_end():
    x = image()
    block = inverted_bottleneck(4, 4, 1, expansion=6)
    silence(block.branch, -1.0)
    assert torch.equal(block(x), x - 1)
    assert not isinstance(inverted_bottleneck(4, 4, 2, expansion=6), Residual)
    with_gate = inverted_bottleneck(4, 4, 2, expansion=6, squeeze=True)
    assert isinstance(with_gate[-1], SqueezeExcitation)


def test_a_cell_adds_convolution_and_pooling():
    x = image()
    cell = cell_a(4, 4, 1)
    silence(cell.branch, 0.5)
    assert torch.equal(cell(x), torch.relu(nn.functional.max_pool2d(x, 3, 1, 1) + 0.5))
