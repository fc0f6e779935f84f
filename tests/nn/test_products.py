"""Products of weights and inputs with whitening matrices: both orders, both precisions, their gradients."""

from __future__ import annotations

import pytest
import torch

import netdeconv.nn as nnd
from layers import SETTINGS, WEIGHTED, build, setting_id
from netdeconv.linalg import Grouping
from netdeconv.nn.input_products import weight_and_response, whiten_input
from netdeconv.nn.products import from_blocks, product_dtype, to_blocks, whiten_weight
from netdeconv.nn.tap_products import whiten_taps
from netdeconv.nn.weighted import WeightedWhitenedLayer
from tolerances import assert_close

of_channels = [settings for settings in SETTINGS if settings.structure != "full"]


def spd(count: int, size: int) -> torch.Tensor:
    matrix = torch.randn(count, size, 2 * size, dtype=torch.float64)
    return matrix @ matrix.mT / size


@pytest.mark.parametrize("settings", of_channels, ids=setting_id)
@pytest.mark.parametrize("kind", WEIGHTED)
def test_both_orders_of_the_products_give_the_same(kind, settings, monkeypatch):
    """x D first, or D w first: outputs, all gradients and running statistics agree."""
    results = []
    layer, x = build(kind, settings)
    start = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    upstream = torch.randn_like(layer(x))
    for input_first in (False, True):
        monkeypatch.setattr(WeightedWhitenedLayer, "_input_is_smaller", lambda *_, first=input_first: first)
        layer.load_state_dict(start)
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        gradients = torch.autograd.grad(y, [leaf, *layer.parameters()], upstream)
        results.append([y, *gradients, layer.running_mean.clone(), layer.running_whitening.clone()])
    for actual, expected in zip(*reversed(results), strict=True):
        assert_close(actual, expected, size=72, condition=100)


@pytest.mark.parametrize(("positions", "expected"), [(53, True), (54, False), (55, False)])
def test_the_input_is_multiplied_where_it_has_fewer_rows(positions, expected):
    layer = nnd.WhitenedConv1d(4, 18, 3, whitening=nnd.Whitening(structure="channel"))  # 18 * 3 rows
    assert layer._input_is_smaller(torch.empty(1, 4, positions), torch.empty(18, 4, 3)) is expected


def test_a_matrix_of_patches_never_multiplies_the_input():
    layer = nnd.WhitenedConv1d(4, 18, 3, whitening=nnd.Whitening())
    assert not layer._input_is_smaller(torch.empty(1, 4, 4), torch.empty(18, 4, 3))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("interleaved", [False, True])
def test_whitened_input_is_the_product_of_every_block(interleaved, memory_format):
    grouping = Grouping(2, 3, 2, interleaved)
    matrix = spd(2, 2)
    x = torch.randn(2, 12, 3, 4, dtype=torch.float64).to(memory_format=memory_format)
    expected = torch.empty_like(x)
    for group in range(2):
        for block in range(3):
            channels = [block, block + 3] if interleaved else [2 * block, 2 * block + 1]
            channels = [6 * group + channel for channel in channels]
            expected[:, channels] = torch.einsum("nchw,cd->ndhw", x[:, channels], matrix[group])
    actual = whiten_input(x, matrix, grouping)
    assert_close(actual, expected, size=2, condition=10)
    assert actual.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("size", [2, 6])
@pytest.mark.parametrize("interleaved", [False, True])
def test_blocks_are_put_back(interleaved, size):
    grouping = Grouping(2, 3, 2, interleaved)
    weight = torch.randn(8, 6, 3)
    blocks = to_blocks(weight, size, grouping)
    assert blocks.shape[:3] == (2, 4, 3)
    for channels_last in (False, True):
        assert torch.equal(from_blocks(blocks, grouping, weight.shape, channels_last=channels_last), weight)


@pytest.mark.parametrize("structure", ["full", "channel"])
def test_products_keep_the_memory_format_of_the_weight(structure):
    """Else a convolution copies its weight, and an optimiser its gradient."""
    settings = nnd.Whitening(structure=structure, layout="blocks", group_size=2)
    layer = nnd.WhitenedConv2d(4, 6, 3, whitening=settings).to(memory_format=torch.channels_last)
    x = torch.randn(8, 4, 9, 9).to(memory_format=torch.channels_last)
    _, weight, _ = layer._effective(x)
    (gradient,) = torch.autograd.grad(layer(x).sum(), layer.weight)
    for tensor in (weight, gradient):
        assert tensor.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels_last", [False, True])
def test_taps_of_every_group_are_multiplied(channels_last):
    taps = spd(2, 6)
    weight = torch.randn(8, 4, 3, 2, dtype=torch.float64)
    expected = torch.einsum("gock,gkl->gocl", weight.view(2, 4, 4, 6), taps).reshape(8, 4, 6)
    weight = weight.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format).flatten(2)
    assert (weight.stride(1) < weight.stride(2)) is channels_last
    assert_close(whiten_taps(weight, taps, torch.float64), expected, size=6, condition=10)


@pytest.mark.parametrize("channels_last", [False, True])
def test_gradients_of_the_product_with_taps(channels_last):
    form = torch.channels_last if channels_last else torch.contiguous_format
    weight = torch.randn(4, 3, 3, 1, dtype=torch.float64).to(memory_format=form).flatten(2).requires_grad_()
    matrix = spd(2, 3).requires_grad_()

    def product(weight: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        return whiten_taps(weight, (matrix + matrix.mT) / 2, torch.float64)

    assert torch.autograd.gradcheck(product, (weight, matrix))
    assert torch.autograd.gradgradcheck(product, (weight, matrix), fast_mode=True)


def test_the_product_with_taps_keeps_the_weight_alone_for_backward():
    weight, taps = torch.randn(8, 4, 9, requires_grad=True), spd(1, 9).float().requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        whiten_taps(weight, taps, torch.bfloat16)
    assert {t.data_ptr() for t in kept} == {weight.data_ptr(), taps.data_ptr()}


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("function", ["patches", "channels", "plain"])
def test_gradients_of_the_weight_product(function, interleaved):
    grouping = Grouping(2, 2, 2, interleaved)
    size = 6 if function == "patches" else 2
    weight = torch.randn(4, 4, 3, dtype=torch.float64, requires_grad=True)
    mean = torch.randn(2, size, dtype=torch.float64, requires_grad=True)
    matrix = spd(2, size).requires_grad_()

    def product(weight: torch.Tensor, mean: torch.Tensor, matrix: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if function == "plain":
            return weight_and_response(weight, mean, matrix, grouping, torch.float64)
        return whiten_weight(weight, mean, (matrix + matrix.mT) / 2, grouping)

    assert torch.autograd.gradcheck(product, (weight, mean, matrix))
    assert torch.autograd.gradgradcheck(product, (weight, mean, matrix), fast_mode=True)


def test_a_plain_weight_with_neighbouring_channels_keeps_their_order():
    grouping = Grouping(2, 2, 2, True)
    mean, matrix = torch.randn(2, 2, dtype=torch.float64, requires_grad=True), spd(2, 2).requires_grad_()
    stored = torch.randn(4, 3, 4, dtype=torch.float64, requires_grad=True)

    def product(stored: torch.Tensor, mean: torch.Tensor, matrix: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return weight_and_response(stored.transpose(1, 2), mean, matrix, grouping, torch.float64)

    plain = weight_and_response(stored.transpose(1, 2).contiguous(), mean, matrix, grouping, torch.float64)
    for actual, expected in zip(product(stored, mean, matrix), plain, strict=True):
        assert_close(actual, expected, size=12, condition=10)
    assert torch.autograd.gradcheck(product, (stored, mean, matrix))
    assert torch.autograd.gradgradcheck(product, (stored, mean, matrix), fast_mode=True)


@pytest.mark.parametrize("taps_first", [False, True])
def test_the_response_in_bfloat16_is_of_the_unrounded_mean(taps_first):
    """The rounded means of the two channels cancel; what is left is below the rounding."""
    weight = torch.tensor([[1.0, -1.0], [1.0, 1.0]]).unsqueeze(-1).expand(-1, -1, 3).contiguous()
    if taps_first:
        weight = weight.transpose(1, 2).contiguous().transpose(1, 2)
    weight.requires_grad_()
    mean = torch.tensor([[1 + 2.0**-10, 1.0]], requires_grad=True)
    _, response = weight_and_response(weight, mean, torch.eye(2).unsqueeze(0), Grouping(1, 1, 2), torch.bfloat16)
    assert response.dtype == torch.float32
    assert response.tolist() == [3 * 2.0**-10, 6 + 3 * 2.0**-10]
    response.backward(torch.tensor([1 + 2.0**-10, 1.0]))
    assert torch.equal(mean.grad, torch.tensor([[6 + 3 * 2.0**-10, -3 * 2.0**-10]]))
    assert torch.equal(weight.grad[:, :, 0], torch.tensor([1 + 2.0**-10, 1.0]).outer(mean.detach()[0]))
    assert weight.grad.stride() == weight.stride()


def test_gradient_of_the_factor_of_constant_matrices():
    grouping = Grouping(2, 2, 2)
    weight = torch.randn(4, 4, 3, dtype=torch.float64, requires_grad=True)
    mean = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    factor = torch.rand(2, dtype=torch.float64).add(0.5).requires_grad_()
    matrix = spd(2, 6)

    def product(weight: torch.Tensor, mean: torch.Tensor, factor: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return whiten_weight(weight, mean, matrix, grouping, factor=factor)

    for actual, expected in zip(
        product(weight, mean, factor),
        whiten_weight(weight, mean, matrix * factor[:, None, None], grouping),
        strict=True,
    ):
        assert_close(actual, expected, size=6, condition=10)
    assert torch.autograd.gradcheck(product, (weight, mean, factor))
    matrix.requires_grad_()
    assert torch.autograd.gradcheck(product, (weight, mean, factor))


def test_bfloat16_product_is_rounded_and_no_worse():
    """Entries err by the rounding of D and w and of the result; the response is of the product that is used."""
    grouping = Grouping(1, 2, 16, True)
    weight, mean, matrix = torch.randn(8, 32, 9), torch.randn(1, 144), spd(1, 144).float()
    exact, _ = whiten_weight(weight.double(), mean.double(), matrix.double(), grouping)
    product, response = whiten_weight(weight, mean, matrix, grouping, dtype=torch.bfloat16)
    assert product.dtype == torch.bfloat16
    assert response.dtype == torch.float32
    bound = 3 * torch.finfo(torch.bfloat16).eps * (weight.abs().max() * matrix.abs().sum(-1).max())
    assert (product.double() - exact).abs().max() < bound
    assert (product.double() - exact).abs().max() > 0
    blocks = to_blocks(product.double(), 144, grouping)
    expected = (blocks @ mean.double().squeeze(0)).sum(-1).flatten()
    scale = (blocks.abs() @ mean.double().abs().squeeze(0)).sum(-1).flatten()
    assert ((response - expected).abs() < 2 * torch.finfo(torch.bfloat16).eps * scale).all()


@pytest.mark.parametrize(
    ("dtype", "num_iterations", "expected"),
    [
        (torch.bfloat16, 5, torch.bfloat16),
        (torch.bfloat16, 15, torch.float32),
        (torch.float16, 5, torch.float32),
        (torch.float32, 5, torch.float32),
        (torch.float64, 5, torch.float64),
    ],
)
def test_the_product_is_narrow_only_where_few_steps_amplify_little(dtype, num_iterations, expected):
    assert product_dtype(dtype, torch.float32, num_iterations) == expected
