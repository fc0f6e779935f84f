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
from netdeconv.linalg import Eigen, gather_patches
from netdeconv.nn import InputStatistics
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
    st.integers(1, 2),
    st.integers(1, 5),
    st.integers(1, 2),
    small,
    small,
    st.integers(1, 2),
    st.integers(0, 2),
    st.integers(1, 2),
    st.booleans(),
)
def test_geometry(groups, per_group, outputs, kernel, stride, dilation, padding, sampling, bias):
    """Training equals the convolution of explicitly whitened patches, whatever the geometry; blocks of 2, or padded."""
    channels = per_group * groups
    settings = nnd.Whitening(group_size=2, sampling_stride=sampling, eps=0.1)
    layer = nnd.WhitenedConv2d(
        channels, outputs * groups, kernel, stride, padding, dilation, groups, bias, dtype=torch.float64,
        whitening=settings,
    )  # fmt: skip
    x = torch.randn(4, channels, 7, 8, dtype=torch.float64)
    y = layer(x)
    mean, matrix = layer.statistics.running_mean, layer.statistics.running_whitening  # the first batch counts fully
    grouping = layer.sampler.grouping
    rows = gather_patches(x, layer.sampler.geometry, grouping, dtype=x.dtype)
    whitened = ((rows - mean.unsqueeze(1)) @ matrix).unflatten(1, (grouping.num_blocks, -1))  # G S P D
    weight = nn.functional.pad(layer.weight.flatten(2), (0, 0, 0, grouping.padding))
    weight = weight.unflatten(0, (groups, -1)).unflatten(2, (grouping.num_blocks, -1))  # G O S B K
    expected = torch.einsum("gspd,gosd->gpo", whitened, weight.transpose(3, 4).flatten(3))
    expected = expected.unflatten(1, (4, -1)).permute(1, 0, 3, 2).reshape(y.shape)
    if bias:
        expected = expected + layer.bias.view(1, -1, 1, 1)
    assert_close(y, expected, size=rows.shape[2] * grouping.num_blocks, condition=10)


@pytest.mark.parametrize("settings", SETTINGS[:2], ids=setting_id)
@pytest.mark.parametrize("kind", ["conv1d", "conv2d strided", "conv2d grouped", "conv3d", "transposed", "linear"])
def test_sampled_rows_have_identity_covariance_at_convergence(kind, settings, monkeypatch):
    monkeypatch.setattr(InputStatistics, "_shrinkage", staticmethod(lambda size, rows: 0.0))
    settings = dataclasses.replace(settings, num_iterations=40, eps=1e-12)
    layer, x = build(kind, settings)
    x = torch.randn(64, *x.shape[1:], dtype=x.dtype)
    mixing = torch.randn(x.shape[1], x.shape[1], dtype=x.dtype)
    x = torch.tensordot(x, mixing, ([1], [0])).movedim(-1, 1) + 5  # correlated channels, not centred
    layer(x)
    rows = layer.sampled_rows(x)
    white = (rows - layer.statistics.running_mean.unsqueeze(1)) @ layer.statistics.running_whitening
    identity = torch.eye(rows.shape[2], dtype=x.dtype).expand(rows.shape[0], -1, -1)
    assert_close(white.mean(1), torch.zeros_like(white[:, 0]), size=rows.shape[1], condition=1e3)
    assert_close(white.mT @ white / rows.shape[1], identity, size=rows.shape[1], condition=1e3)


@pytest.mark.parametrize("count", [4, 4000])
def test_few_rows_shrink_correlations_and_many_do_not(count):
    """D / (n + D) of the correlations is taken out: most of them for fewer rows than features."""
    layer = nnd.WhitenedLinear(8, 2, dtype=torch.float64, whitening=nnd.Whitening(eps=1e-9, root=Eigen()))
    x = torch.randn(count, 8, dtype=torch.float64) @ torch.randn(8, 8, dtype=torch.float64)
    layer(x)
    covariance = torch.cov(x.T, correction=0)
    share = 8 / (count + 8)
    expected = (1 - share) * covariance + share * covariance.diag().diag() + 1e-9 * torch.eye(8, dtype=x.dtype)
    matrix = layer.statistics.running_whitening[0]
    assert_close(matrix @ expected @ matrix, torch.eye(8, dtype=x.dtype), size=8, condition=1e5)


def test_transposed_convolution_whitens_its_input():
    layer = nnd.WhitenedConvTranspose2d(
        3, 2, 2, stride=2, dtype=torch.float64, whitening=nnd.Whitening(sampling_stride=1, eps=0.1)
    )
    x = torch.randn(4, 3, 5, 5, dtype=torch.float64) + 2
    y = layer(x)
    mean, matrix = layer.statistics.running_mean, layer.statistics.running_whitening
    white = torch.einsum("nchw,cd->ndhw", x - mean[0].view(1, 3, 1, 1), matrix[0])
    # kernel = stride: every output phase has one tap, but the mean's response differs between the taps
    expected = nn.functional.conv_transpose2d(white, layer.weight, layer.bias, 2)
    response = torch.einsum("c,cd,dokl->okl", mean[0], matrix[0], layer.weight)
    average = response - response.mean((1, 2), keepdim=True)
    expected = expected + average.repeat(1, 5, 5)
    assert_close(y, expected, size=3, condition=100)


@pytest.mark.parametrize("channels", [6, 5])
def test_channel_whitening_applies_the_matrix_to_the_data(channels, monkeypatch):
    monkeypatch.setattr(InputStatistics, "_shrinkage", staticmethod(lambda size, rows: 0.0))
    settings = nnd.Whitening(group_size=2, num_iterations=40, eps=1e-12, sampling_stride=1)
    layer = nnd.ChannelWhitening(channels, whitening=settings, dtype=torch.float64)
    x = torch.randn(8, channels, 5, 5, dtype=torch.float64).cumsum(1) + 1
    y = layer(x)
    if channels == 6:  # no padding in a block
        blocks = layer.sampler.grouping.split(y, 1)[:, 0].permute(1, 0, 3, 4, 2).reshape(-1, 2)
        assert_close(blocks.T @ blocks / len(blocks), torch.eye(2, dtype=y.dtype), size=len(blocks), condition=1e3)
    matrix, bias = layer.folded_matrix_and_bias()
    expected = torch.einsum("dc,nchw->ndhw", matrix, x) + bias.view(1, -1, 1, 1)
    assert_close(layer.eval()(x), expected, size=6, condition=100)


def test_unbatched_input():
    for kind in ("conv1d", "conv2d", "conv3d", "transposed", "transposed 1d"):
        layer, x = build(kind)
        layer(x)
        layer.eval()
        assert_close(layer(x[0]), layer(x)[0], size=36)
        layer.train()
        assert layer(x[0]).shape == layer(x)[0].shape


def test_the_output_of_rows_is_no_view():
    """FSDP2 warns of one."""
    assert not nnd.WhitenedLinear(4, 2)(torch.randn(8, 4))._is_view()


def test_channel_matrices_multiply_every_block_of_the_weight():
    settings = nnd.Whitening(structure="channel", group_size=2, eps=0.1)
    layer = nnd.WhitenedConv2d(8, 6, (3, 2), groups=2, dtype=torch.float64, whitening=settings)
    layer(torch.randn(5, 8, 9, 9, dtype=torch.float64).cumsum(1).cumsum(3) + 1)
    mean, matrix = layer.statistics.running_mean, layer.statistics.running_whitening
    expected = torch.zeros(6, 4, 6, dtype=torch.float64)
    expected_bias = layer.bias.detach().clone()
    for group in range(2):
        outputs = slice(3 * group, 3 * group + 3)
        for block in range(2):
            channels = [2 * block, 2 * block + 1]
            weight = layer.weight.detach().flatten(2)[outputs, channels]
            product = torch.einsum("ock,cd->odk", weight, matrix[group])
            expected[outputs, channels] = product
            expected_bias[outputs] -= torch.einsum("odl,d->o", product, mean[group])
    weight, bias = layer.folded_weight_and_bias()
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
    assert_close(padded.statistics.running_mean, plain.statistics.running_mean, size=100)
