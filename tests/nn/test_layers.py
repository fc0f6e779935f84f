"""What every whitened layer computes: properties, the plain layer as oracle, gradients."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import netdeconv.nn as nnd
from layers import KINDS, SETTINGS, WEIGHTED, build, build_plain, setting_id
from netdeconv.linalg import gather_patches
from tolerances import FOLDED_FLOAT32, assert_close, assert_within

all_settings = pytest.mark.parametrize("settings", SETTINGS, ids=setting_id)
small = st.integers(1, 3)


@all_settings
@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind, settings):
    layer, x = build(kind, settings)
    names = [name for name, _ in layer.named_parameters()]

    def call(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(call, (x.requires_grad_(), *layer.parameters()), fast_mode=True)


@pytest.mark.parametrize("kind", ["conv2d", "linear", "channel map"])
def test_second_derivatives(kind):
    layer, x = build(kind, dataclasses.replace(SETTINGS[0], num_iterations=2))
    assert torch.autograd.gradgradcheck(
        layer, (x[:, :, :4, :4] if x.dim() == 4 else x).clone().requires_grad_(), fast_mode=True
    )


@all_settings
@pytest.mark.parametrize("kind", WEIGHTED)
def test_a_fresh_layer_evaluates_as_the_plain_one(kind, settings):
    layer, x = build(kind, settings)
    plain = build_plain(kind, layer.weight, layer.bias)
    assert_close(layer.eval()(x), plain(x), size=layer.weight[0].numel())


@all_settings
@pytest.mark.parametrize("kind", WEIGHTED)
def test_folded_equals_evaluated(kind, settings):
    layer, x = build(kind, settings, torch.float32)
    for _ in range(3):
        layer(torch.randn_like(x) * 3 + 1)
    plain = build_plain(kind, *layer.folded_weight_and_bias()) if layer.bias is not None else None
    if plain is None:
        weight, bias = layer.folded_weight_and_bias()
        plain = build_plain(kind, weight, bias)
    assert_within(plain(x), layer.eval()(x), FOLDED_FLOAT32)
    assert not torch.allclose(plain.weight, layer.weight)  # the statistics did something


@all_settings
@pytest.mark.parametrize("kind", [kind for kind in WEIGHTED if KINDS[kind][3].get("bias", True)])
def test_assigned_folded_parameters_come_back(kind, settings):
    layer, x = build(kind, settings)
    layer(x)
    weight, bias = torch.randn_like(layer.weight), torch.randn_like(layer.bias)
    layer.assign_folded_(weight, bias)
    actual = layer.folded_weight_and_bias()
    assert_close(actual[0], weight, size=36, condition=1e3)
    assert_close(actual[1], bias, size=36, condition=1e3)


@given(
    st.sampled_from(["blocks", "interleaved"]),
    st.integers(1, 2),
    st.integers(1, 2),
    small,
    small,
    st.integers(1, 2),
    st.integers(0, 2),
    st.integers(1, 2),
    st.booleans(),
)
def test_geometry(layout, groups, blocks, kernel, stride, dilation, padding, sampling, bias):
    """Training equals the convolution of explicitly whitened patches, whatever the geometry."""
    channels = 2 * groups * blocks
    settings = nnd.Whitening(layout=layout, group_size=2, sampling_stride=sampling, eps=0.1)
    layer = nnd.WhitenedConv2d(
        channels, 2 * groups, kernel, stride, padding, dilation, groups, bias, dtype=torch.float64, whitening=settings
    )
    x = torch.randn(4, channels, 7, 8, dtype=torch.float64)
    y = layer(x)
    statistics = layer.running_statistics()  # the first batch counts fully
    every = dataclasses.replace(layer._geometry, step=(stride, stride))
    grouping = layer.grouping
    rows = gather_patches(x, every, grouping, dtype=x.dtype)
    whitened = (rows - statistics.mean.unsqueeze(1)) @ statistics.matrix
    weight = layer.weight.flatten(2).unflatten(0, (groups, -1))  # G O C/G K
    if layout == "interleaved":
        weight = weight.flatten(2).unflatten(2, (-1, grouping.num_blocks)).permute(0, 3, 2, 1)
    else:
        weight = weight.unflatten(2, (grouping.num_blocks, -1)).permute(0, 2, 4, 3, 1).flatten(2, 3)  # G S D O
    expected = (whitened.unflatten(1, (grouping.num_blocks, -1)) @ weight).sum(1)  # G P O
    expected = expected.unflatten(1, (4, -1)).permute(1, 0, 3, 2).reshape(y.shape)
    if bias:
        expected = expected + layer.bias.view(1, -1, 1, 1)
    assert_close(y, expected, size=rows.shape[2] * blocks, condition=10)


@all_settings
@pytest.mark.parametrize("kind", ["conv1d", "conv2d strided", "conv2d grouped", "conv3d", "transposed", "linear"])
def test_sampled_rows_have_identity_covariance_at_convergence(kind, settings):
    settings = dataclasses.replace(settings, num_iterations=40, eps=1e-12)
    layer, x = build(kind, settings)
    x = torch.randn(64, *x.shape[1:], dtype=x.dtype)
    mixing = torch.randn(x.shape[1], x.shape[1], dtype=x.dtype)
    x = torch.tensordot(x, mixing, ([1], [0])).movedim(-1, 1) + 5  # correlated channels, not centred
    layer(x)
    statistics = layer.running_statistics()
    if kind == "linear":
        geometry, pixels = layer._rows, layer._rows
    elif kind == "transposed":
        geometry = pixels = layer._pixels
    else:
        geometry, pixels = layer._geometry, layer._pixels
    full = settings.structure == "full" and layer.matrix_size > layer.group_size
    rows = gather_patches(x, geometry if full else pixels, layer.grouping, dtype=x.dtype)
    white = (rows - statistics.mean.unsqueeze(1)) @ statistics.matrix
    identity = torch.eye(layer.matrix_size, dtype=x.dtype).expand(layer.num_matrices, -1, -1)
    assert_close(white.mean(1), torch.zeros_like(white[:, 0]), size=rows.shape[1], condition=1e3)
    assert_close(white.mT @ white / rows.shape[1], identity, size=rows.shape[1], condition=1e3)
    if statistics.taps is not None:
        taps = gather_patches(x, geometry, layer.grouping, dtype=x.dtype, taps_first=True)
        taps = taps.unflatten(2, (-1, layer.group_size)) - statistics.mean[:, None, None]
        taps = (taps @ statistics.matrix[:, None]).flatten(2)
        taps = statistics.taps @ taps
        identity = torch.eye(taps.shape[1], dtype=x.dtype).expand(layer.num_matrices, -1, -1)
        assert_close(taps @ taps.mT / taps.shape[2], identity, size=rows.shape[1], condition=1e4)


def test_transposed_convolution_whitens_its_input():
    layer = nnd.WhitenedConvTranspose2d(
        3, 2, 2, stride=2, dtype=torch.float64, whitening=nnd.Whitening(sampling_stride=1, eps=0.1)
    )
    x = torch.randn(4, 3, 5, 5, dtype=torch.float64) + 2
    y = layer(x)
    mean, matrix, *_ = layer.running_statistics()
    white = torch.einsum("nchw,cd->ndhw", x - mean[0].view(1, 3, 1, 1), matrix[0])
    # kernel = stride: every output phase has one tap, but the mean's response differs between the taps
    expected = nn.functional.conv_transpose2d(white, layer.weight, layer.bias, 2)
    response = torch.einsum("c,cd,dokl->okl", mean[0], matrix[0], layer.weight)
    average = response - response.mean((1, 2), keepdim=True)
    expected = expected + average.repeat(1, 5, 5)
    assert_close(y, expected, size=3, condition=100)


def test_channel_whitening_applies_the_matrix_to_the_data():
    for layout in ("blocks", "interleaved"):
        settings = nnd.Whitening(group_size=2, layout=layout, num_iterations=40, eps=1e-12, sampling_stride=1)
        layer = nnd.ChannelWhitening(6, whitening=settings, dtype=torch.float64)
        x = torch.randn(8, 6, 5, 5, dtype=torch.float64).cumsum(1) + 1
        y = layer(x)
        blocks = layer.grouping.split(y, 1)[:, 0].permute(1, 0, 3, 4, 2).reshape(-1, 2)
        assert_close(blocks.T @ blocks / len(blocks), torch.eye(2, dtype=y.dtype), size=len(blocks), condition=1e3)
        matrix, bias = layer.folded_matrix_and_bias()
        expected = torch.einsum("dc,nchw->ndhw", matrix, x) + bias.view(1, -1, 1, 1)
        assert_close(layer.eval()(x), expected, size=6, condition=100)


def test_unbatched_input():
    for kind in ("conv1d", "conv2d", "conv3d", "transposed"):
        layer, x = build(kind)
        layer(x)
        layer.eval()
        assert_close(layer(x[0]), layer(x)[0], size=36)
        layer.train()
        assert layer(x[0]).shape == layer(x)[0].shape


@pytest.mark.parametrize("layout", ["blocks", "interleaved"])
@pytest.mark.parametrize("structure", ["channel", "separable"])
def test_factors_multiply_the_weight(structure, layout):
    """Every block of channels is multiplied by the channel matrix, and the taps by the tap matrix."""
    settings = nnd.Whitening(structure=structure, layout=layout, group_size=2, eps=0.1)
    layer = nnd.WhitenedConv2d(8, 6, (3, 2), groups=2, dtype=torch.float64, whitening=settings)
    layer(torch.randn(5, 8, 9, 9, dtype=torch.float64).cumsum(1).cumsum(3) + 1)
    mean, matrix, taps, *_ = layer.running_statistics()
    expected = torch.zeros(6, 4, 6, dtype=torch.float64)
    expected_bias = layer.bias.detach().clone()
    for group in range(2):
        outputs = slice(3 * group, 3 * group + 3)
        for block in range(2):
            channels = [block, block + 2] if layout == "interleaved" else [2 * block, 2 * block + 1]
            weight = layer.weight.detach().flatten(2)[outputs, channels]
            product = torch.einsum("ock,cd->odk", weight, matrix[group])
            if structure == "separable":
                product = torch.einsum("odk,kl->odl", product, taps[group])
            expected[outputs, channels] = product
            expected_bias[outputs] -= torch.einsum("odl,d->o", product, mean[group])
    weight, bias = layer.folded_weight_and_bias()
    assert (taps is not None) == (structure == "separable")
    assert_close(weight.flatten(2), expected, size=12, condition=10)
    assert_close(bias, expected_bias, size=24, condition=10)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [(0, 2), (2, 1), "same"])
def test_padding_takes_part_in_the_statistics(padding, mode):
    """The same as padding the input first and convolving without padding."""
    x = torch.randn(3, 2, 6, 7, dtype=torch.float64) + 1
    padded = nnd.WhitenedConv2d(2, 3, (3, 5), padding=padding, padding_mode=mode, dtype=x.dtype)
    plain = nnd.WhitenedConv2d(2, 3, (3, 5), dtype=x.dtype)
    plain.load_state_dict(padded.state_dict())
    rows, columns = ((1, 1), (2, 2)) if padding == "same" else ((padding[0],) * 2, (padding[1],) * 2)
    name = "constant" if mode == "zeros" else mode
    before = nn.functional.pad(x, (*columns, *rows), mode=name)
    y = padded(x)
    assert_close(y, plain(before), size=30, condition=10)
    assert_close(padded.running_mean, plain.running_mean, size=100)


def test_published_one_by_one_layers_sample_rows_of_the_raster():
    settings = nnd.Whitening(layout="reference", sampling_stride=2, momentum=1.0)
    layer = nnd.WhitenedConv2d(3, 2, 1, stride=2, dtype=torch.float64, whitening=settings)
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    layer(x)
    rows = x.permute(0, 2, 3, 1).reshape(-1, 3)[:: (2 * 2) ** 2]
    assert_close(layer.running_mean[0], rows.mean(0), size=len(rows))
