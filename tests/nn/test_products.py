"""The product of weights with whitening matrices: blocks, memory formats, precision, gradients."""

from __future__ import annotations

import copy

import pytest
import torch

import netdeconv.nn as nnd
from netdeconv.linalg import Eigen, Grouping
from netdeconv.nn.layer import is_smaller
from netdeconv.nn.sampler import product_dtype
from netdeconv.nn.weight import whiten_weight
from tolerances import assert_close


def spd(count: int, size: int) -> torch.Tensor:
    matrix = torch.randn(count, size, 2 * size, dtype=torch.float64)
    return matrix @ matrix.mT / size


def by_blocks(weight: torch.Tensor, mean: torch.Tensor, matrix: torch.Tensor, grouping: Grouping):
    """Every block of every output, one after the other; padded channels have no weight."""
    g, b, k = grouping.num_matrices, grouping.block_channels, weight.shape[2]
    outputs, features = weight.shape[0] // g, matrix.shape[-1]
    product, response = torch.zeros_like(weight), torch.zeros(len(weight), dtype=weight.dtype)
    for row in range(len(weight)):
        for start in range(0, weight.shape[1], b):
            block = torch.zeros(k, b, dtype=weight.dtype)
            own = min(b, weight.shape[1] - start)
            block[:, :own] = weight[row, start : start + own].T
            group = row // outputs
            rows = block.reshape(-1, features) @ matrix[group]
            response[row] += (rows @ mean[group]).sum()
            product[row, start : start + own] = rows.reshape(k, b)[:, :own].T
    return product, response


GROUPINGS = [Grouping(2, 3, 2), Grouping(1, 2, 3, 1), Grouping(2, 1, 4)]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("taps", [1, 3])
@pytest.mark.parametrize("grouping", GROUPINGS, ids=str)
def test_every_block_is_multiplied(grouping, taps, channels_last):
    size = taps * grouping.block_channels
    weight = torch.randn(4 * grouping.num_matrices, grouping.group_channels, 3, dtype=torch.float64)
    if channels_last:
        weight = weight.transpose(1, 2).contiguous().transpose(1, 2)
    mean = torch.randn(grouping.num_matrices, size, dtype=torch.float64)
    matrix = spd(grouping.num_matrices, size)
    product, response = whiten_weight(weight, mean, matrix, grouping)
    expected, expected_response = by_blocks(weight, mean, matrix, grouping)
    assert_close(product, expected, size=size, condition=10)
    assert_close(response, expected_response, size=3 * size, condition=10)
    assert product.stride() == weight.stride()


@pytest.mark.parametrize("taps", [1, 3])
@pytest.mark.parametrize("grouping", GROUPINGS, ids=str)
def test_gradients_of_the_weight_product(grouping, taps):
    size = taps * grouping.block_channels
    weight = torch.randn(2 * grouping.num_matrices, grouping.group_channels, 3, dtype=torch.float64).requires_grad_()
    mean = torch.randn(grouping.num_matrices, size, dtype=torch.float64, requires_grad=True)
    matrix = spd(grouping.num_matrices, size).requires_grad_()

    def product(weight: torch.Tensor, mean: torch.Tensor, matrix: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return whiten_weight(weight, mean, (matrix + matrix.mT) / 2, grouping)

    assert torch.autograd.gradcheck(product, (weight, mean, matrix))
    assert torch.autograd.gradgradcheck(product, (weight, mean, matrix), fast_mode=True)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("groups", "outputs", "structure"), [*((n, 8, "full") for n in (1, 2, 8)), (1, 800, "channel")]
)
@pytest.mark.parametrize(("channels", "taps"), [(8, 1), (8, 3), (1, 3)])
def test_gradients_have_the_strides_of_the_weight(channels, taps, groups, outputs, structure, layout):
    """Also of a single tap or channel: DistributedDataParallel compares them, and warns."""
    groups, settings = min(groups, channels), nnd.Whitening(group_size=4, structure=structure)
    layer = nnd.WhitenedConv2d(channels, outputs, taps, groups=groups, whitening=settings)
    x = torch.randn(8, channels, 9, 9)
    layer.to(memory_format=layout)(x.to(memory_format=layout)).square().sum().backward()
    assert layer.weight.grad.stride() == layer.weight.stride()


CHANNELS = nnd.Whitening(structure="channel", group_size=8)
SMALL_INPUTS = {
    "blocks": (lambda: nnd.WhitenedConv2d(24, 64, 3, padding=1, whitening=CHANNELS), (4, 24, 5, 5)),
    "groups": (lambda: nnd.WhitenedConv2d(20, 64, 3, groups=2, padding=1, whitening=CHANNELS), (4, 20, 4, 4)),
    "padded blocks, stride": (lambda: nnd.WhitenedConv2d(17, 64, 3, 2, padding=1, whitening=CHANNELS), (4, 17, 5, 5)),
    "conv1d": (lambda: nnd.WhitenedConv1d(16, 64, 3, bias=False, whitening=CHANNELS), (4, 16, 8)),
    "linear": (lambda: nnd.WhitenedLinear(24, 64, whitening=nnd.Whitening(group_size=12)), (9, 24)),
    "transposed": (lambda: nnd.WhitenedConvTranspose2d(16, 8, 4, stride=2, whitening=CHANNELS), (4, 16, 3, 3)),
}


@pytest.mark.parametrize("name", SMALL_INPUTS)
def test_whitening_a_small_input_is_whitening_the_weight(name, monkeypatch):
    build, shape = SMALL_INPUTS[name]
    small = build().double()
    usual, x, found = copy.deepcopy(small), torch.randn(shape, dtype=torch.float64), []
    for layer in (small, usual):
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        y.pow(3).sum().backward()
        found.append([y, leaf.grad, *(each.grad for each in layer.parameters())])
        assert is_smaller(x, layer.weight)
        monkeypatch.setattr("netdeconv.nn.layer.is_smaller", lambda x, weight: False)
    for here, there in zip(*found, strict=True):
        assert_close(here, there, size=36, condition=100)
        assert not torch.equal(here, there)  # two ways of rounding


def largest_kept(layer, x):
    """Bytes of the largest tensor that is kept for the backward pass, but for the input and the weight."""
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.setdefault(t.data_ptr(), t), lambda t: t):
        layer(x)
    own = {x.data_ptr(), layer.weight.data_ptr()}
    return max(t.untyped_storage().nbytes() for t in kept.values() if t.untyped_storage().data_ptr() not in own)


def test_nothing_as_large_as_the_weight_is_kept_of_a_small_input_nor_a_copy_of_a_large_one():
    for taps, padding in ((3, 1), (1, 0)):
        small = nnd.WhitenedConv2d(64, 256, taps, padding=padding, whitening=CHANNELS)
        assert largest_kept(small, torch.randn(4, 64, 2, 2, requires_grad=True)) < small.weight.numel()
    large = torch.randn(4, 64, 32, 32)
    assert largest_kept(nnd.WhitenedConv2d(64, 64, 1, stride=2, whitening=CHANNELS), large) < large.numel()


@pytest.mark.parametrize("structure", ["full", "channel"])
def test_products_keep_the_memory_format_of_the_weight(structure):
    """Else a convolution copies its weight, and an optimiser its gradient."""
    settings = nnd.Whitening(structure=structure, group_size=2)
    layer = nnd.WhitenedConv2d(4, 6, 3, whitening=settings).to(memory_format=torch.channels_last)
    x = torch.randn(8, 4, 9, 9).to(memory_format=torch.channels_last)
    _, mean, matrix = layer.statistics(x)
    _, weight, _ = layer._whiten(x, mean, matrix)
    (gradient,) = torch.autograd.grad(layer(x).sum(), layer.weight)
    for tensor in (weight, gradient):
        assert tensor.is_contiguous(memory_format=torch.channels_last)


def test_bfloat16_product_is_rounded_and_no_worse():
    """Entries err by the rounding of D and w and of the result; the response is of the product that is used."""
    grouping = Grouping(1, 2, 16)
    weight, mean, matrix = torch.randn(8, 32, 9), torch.randn(1, 144), spd(1, 144).float()
    exact, _ = whiten_weight(weight.double(), mean.double(), matrix.double(), grouping)
    product, response = whiten_weight(weight, mean, matrix, grouping, dtype=torch.bfloat16)
    assert product.dtype == torch.bfloat16
    assert response.dtype == torch.float32
    bound = 3 * torch.finfo(torch.bfloat16).eps * (weight.abs().max() * matrix.abs().sum(-1).max())
    assert (product.double() - exact).abs().max() < bound
    assert (product.double() - exact).abs().max() > 0
    blocks = product.double().unflatten(1, (2, 16)).transpose(2, 3).flatten(2)
    expected = (blocks @ mean.double().squeeze(0)).sum(-1)
    scale = (blocks.abs() @ mean.double().abs().squeeze(0)).sum(-1)
    assert ((response - expected).abs() < 2 * torch.finfo(torch.bfloat16).eps * scale).all()


@pytest.mark.parametrize(
    ("dtype", "settings", "expected"),
    [
        (torch.bfloat16, {}, torch.bfloat16),
        (torch.bfloat16, {"num_iterations": 15}, torch.float32),
        (torch.bfloat16, {"root": Eigen()}, torch.float32),
        (torch.float16, {}, torch.float32),
        (torch.float32, {}, torch.float32),
        (torch.float64, {}, torch.float64),
    ],
)
def test_the_product_is_narrow_only_where_few_steps_amplify_little(dtype, settings, expected):
    assert product_dtype(dtype, torch.float32, nnd.Whitening(**settings)) == expected
