"""The transcription of the published algorithm against the package's ``layout="reference"``, in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from benchmarks.published import PublishedConv2d, PublishedLinear, inverse_root, whiten
from benchmarks.variants import without_norm
from torch import nn

import netdeconv as nd
from netdeconv import models
from tolerances import assert_close

# name: arguments of both layers, shape of the input, block, steps
CONVOLUTIONS = {
    "3x3": ({"in_channels": 4, "out_channels": 5, "kernel_size": 3, "padding": 1}, (3, 4, 9, 8), 64, 5),
    "3x3 blocks": ({"in_channels": 8, "out_channels": 5, "kernel_size": 3, "padding": 1}, (4, 8, 8, 9), 2, 5),
    "common divisor": ({"in_channels": 6, "out_channels": 2, "kernel_size": 3}, (4, 6, 8, 9), 4, 3),
    "strided, dilated": (
        {"in_channels": 4, "out_channels": 3, "kernel_size": (3, 2), "stride": 2, "padding": 2, "dilation": 2},
        (4, 4, 13, 14),
        2,
        5,
    ),
    "1x1": ({"in_channels": 6, "out_channels": 4, "kernel_size": 1}, (5, 6, 7, 5), 3, 5),
    "1x1 strided": ({"in_channels": 4, "out_channels": 4, "kernel_size": 1, "stride": 2}, (9, 4, 7, 7), 64, 5),
    "grouped": ({"in_channels": 6, "out_channels": 4, "kernel_size": 3, "groups": 2}, (4, 6, 9, 9), 2, 5),
    "stem": ({"in_channels": 3, "out_channels": 4, "kernel_size": 3, "padding": 1}, (4, 3, 12, 12), 64, 15),
}


def settings(block: int, steps: int) -> nd.Whitening:
    return nd.Whitening(group_size=block, num_iterations=steps, layout="reference")


def assert_same(published: nn.Module, ours: nn.Module, shape: tuple[int, ...], steps: int) -> None:
    """Two training steps and an evaluation: outputs, gradients, running statistics."""
    published.load_state_dict(ours.state_dict(), strict=False)
    # sums over the rows of the input, through a root whose small eigenvalues the steps magnify
    close = {"size": torch.Size(shape).numel(), "condition": 1.5**steps}
    for _ in range(2):
        x = torch.randn(shape, dtype=torch.float64) @ torch.randn(shape[-1], shape[-1], dtype=torch.float64)
        leaves = [x.clone().requires_grad_(), x.clone().requires_grad_()]
        results = [layer(leaf) for layer, leaf in zip((published, ours), leaves, strict=True)]
        cotangent = torch.randn_like(results[0])
        sources = [[leaf, layer.weight, layer.bias] for leaf, layer in zip(leaves, (published, ours), strict=True)]
        gradients = [
            torch.autograd.grad(result, source, cotangent) for result, source in zip(results, sources, strict=True)
        ]
        assert_close(*results, **close)
        for mine, other in zip(*gradients, strict=True):
            assert_close(mine, other, **close)
        assert_close(published.running_mean, ours.running_mean, **close)
        assert not published.running_deconv.requires_grad  # or every step's graph would hold the last one's
        assert_close(published.running_deconv, ours.running_whitening, **close)
    x = torch.randn(shape, dtype=torch.float64)
    assert_close(published.eval()(x), ours.eval()(x), **close)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name):
    arguments, shape, block, steps = CONVOLUTIONS[name]
    published = PublishedConv2d(**arguments, dtype=torch.float64, block=block, num_iterations=steps)
    ours = nd.WhitenedConv2d(**arguments, dtype=torch.float64, whitening=settings(block, steps))
    assert_same(published, ours, shape, steps)


@pytest.mark.parametrize(("features", "block"), [(8, 512), (12, 4), (10, 4)])
def test_linear(features, block):
    published = PublishedLinear(features, 3, dtype=torch.float64, block=block)
    ours = nd.WhitenedLinear(features, 3, dtype=torch.float64, whitening=settings(block, 5))
    assert_same(published, ours, (25, features), 5)


def test_enough_steps_give_the_inverse_root():
    factor = torch.randn(2, 5, 5, dtype=torch.float64)
    matrix = factor @ factor.mT + torch.eye(5, dtype=torch.float64)
    root = inverse_root(matrix, 30)
    assert_close(root @ matrix @ root, torch.eye(5, dtype=torch.float64).expand(2, 5, 5), size=5, condition=1e3)


def test_statistics_stay_in_float32_under_autocast():
    layer = PublishedConv2d(3, 4, 3, padding=1)
    other = copy.deepcopy(layer)
    x = torch.randn(4, 3, 9, 9)
    expected = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        y = other(x)
    y.sum().backward()
    assert y.dtype == torch.bfloat16
    assert other.weight.grad.isfinite().all()
    torch.testing.assert_close(other.running_deconv, layer.running_deconv, rtol=0, atol=0)
    # two roundings to bfloat16, of the input and of the weight, in sums of 27 products
    assert_close(y.float(), expected, dtype=torch.bfloat16, size=27)


def test_a_whole_network_equals_the_converted_one():
    plain = models.build("lenet", num_classes=4, in_channels=3, width=0.5, image_size=14).double()
    ours = nd.convert(
        plain,
        settings(64, 5),
        stem=settings(64, 15),
        linear=settings(512, 5),
    )
    published = whiten(without_norm(copy.deepcopy(plain)))
    assert [type(layer) for layer in published if isinstance(layer, (nn.Conv2d, nn.Linear))] == [
        *[PublishedConv2d] * 2,
        *[PublishedLinear] * 3,
    ]
    x = torch.randn(40, 3, 14, 14, dtype=torch.float64)
    # the stem's 15 steps, then 5 in each of four layers
    assert_close(published(x), ours(x), size=40 * 14 * 14, condition=1.5 ** (15 + 4 * 5))
