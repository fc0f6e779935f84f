"""Autocast, memory formats, degenerate inputs."""

from __future__ import annotations

import copy
import warnings
from unittest import mock

import pytest
import torch

import netdeconv as nd
import netdeconv.nn as nnd
from layers import KINDS, SETTINGS, build, setting_id
from netdeconv.linalg import Converged, Eigen
from tolerances import assert_close

all_settings = pytest.mark.parametrize("settings", SETTINGS, ids=setting_id)


@all_settings
@pytest.mark.parametrize("kind", KINDS)
def test_autocast_casts_the_product_last(kind, settings):
    layer, x = build(kind, settings, torch.float32)
    x.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    y.float().square().sum().backward()
    assert y.dtype == torch.bfloat16
    assert x.grad.dtype == torch.float32
    assert all(p.grad.dtype == torch.float32 for p in layer.parameters())
    assert layer.statistics.running_whitening.dtype == torch.float32
    # the statistics are those of the input as the layer reads it, up to the rounding of centred rows
    other, _ = build(kind, settings, torch.float32)
    other.observe(x.detach().bfloat16().float())
    assert_close(
        layer.statistics.running_whitening, other.statistics.running_whitening, dtype=torch.bfloat16, size=2, c=4
    )


@pytest.mark.parametrize("num_iterations", [7, 8])
def test_rows_are_rounded_for_few_iterations_alone(num_iterations):
    layer, x = build("conv2d", nnd.Whitening(num_iterations=num_iterations), torch.float32)
    other, _ = build("conv2d", nnd.Whitening(num_iterations=num_iterations), torch.float32)
    layer.observe(x.bfloat16())
    other.observe(x.bfloat16().float())
    assert torch.equal(layer.statistics.running_whitening, other.statistics.running_whitening) is (num_iterations > 7)
    assert_close(layer.statistics.running_mean, other.statistics.running_mean, size=x.numel() // x.shape[1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_one_entry_of_a_batch_keeps_its_strides_and_its_gradients(dtype):
    layer = nd.WhitenedConv2d(9, 9, (1, 3), groups=3, dtype=dtype).to(memory_format=torch.channels_last)
    x, gradients = torch.randn(1, 9, 5, 5, dtype=dtype), []
    for own in (x, x.to(memory_format=torch.channels_last)):
        assert layer.statistics(own)[0].stride() == own.stride()
        layer.zero_grad()
        layer(own).square().sum().backward()
        gradients.append(layer.weight.grad)
    assert_close(gradients[1].double(), gradients[0].double(), dtype=dtype, size=9, c=8)


@pytest.mark.parametrize("budget", [1, 2**22])  # bytes of a portion: one entry of the batch, all
def test_a_mean_less_than_the_rounding_of_its_rows_is_not_counted_twice(budget):
    x = torch.tensor([3.0, -3.0]).repeat_interleave(8).repeat(4)
    # the mean, and that of every eighth row, is less than half a unit of a row: less it, rounded, a row is itself
    x[56] += 1 / 32
    layer = nd.ChannelWhitening(1)
    with mock.patch("netdeconv.linalg.patches._BYTES", budget):
        layer.observe(x.view(64, 1).bfloat16())
    assert layer.statistics.running_mean.item() == 1 / 2048


@pytest.mark.parametrize("kind", ["conv1d", "conv2d grouped", "transposed", "linear"])
def test_autocast_result_is_near_full_precision(kind):
    layer, x = build(kind, nnd.Whitening(eps=0.1), torch.float32)
    expected = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = layer(x)
    assert_close(actual.float(), expected, dtype=torch.bfloat16, size=2, c=4)


@all_settings
@pytest.mark.parametrize("kind", [kind for kind in KINDS if len(KINDS[kind][2]) == 4])
def test_channels_last_changes_nothing(kind, settings):
    layer, x = build(kind, settings)
    leaves = [x.clone().requires_grad_(), x.clone(memory_format=torch.channels_last).requires_grad_()]
    results = [layer(leaf) for leaf in leaves]
    for y in results:
        y.square().sum().backward()
    assert_close(results[1], results[0], size=36, condition=10)
    assert_close(leaves[1].grad, leaves[0].grad, size=36, condition=100)


def test_float64_is_not_narrowed_by_autocast():
    layer, x = build("conv2d")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.float64


@pytest.mark.parametrize("num_iterations", [5, 15])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("case", ["constant channels", "all constant", "zero", "near half overflow", "two rows"])
@pytest.mark.parametrize("kind", ["conv2d", "linear", "channel map"])
def test_degenerate_inputs_stay_finite(kind, case, autocast, num_iterations):
    layer, x = build(kind, nnd.Whitening(num_iterations=num_iterations), torch.float32)
    x = {
        "constant channels": lambda: torch.cat([x[:, :2] * 0 + 3, x[:, 2:]], 1),
        "all constant": lambda: torch.full_like(x, 7.0),
        "zero": lambda: torch.zeros_like(x),
        "near half overflow": lambda: x.sign() * 6e4,
        "two rows": lambda: x[:2],
    }[case]().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        y = layer(x)
    y.float().square().mean().backward()
    layer.eval()
    tensors = [y, x.grad, layer(x), *(p.grad for p in layer.parameters()), *layer.buffers()]
    assert all(t.isfinite().all() for t in tensors)


def test_unseen_directions_are_amplified_no_more_than_the_iteration_allows():
    """Two rows say nothing of the other directions: five steps bound their gain by 1.5^5 / sqrt(norm)."""
    layer = nnd.WhitenedLinear(64, 1, whitening=nnd.Whitening())
    x = torch.randn(2, 64)
    layer(x)
    covariance = torch.cov(x.T, correction=0)
    covariance = covariance.lerp(covariance.diag().diag(), 64 / 66) + 1e-5 * torch.eye(64)
    bound = 1.5**5 / torch.linalg.matrix_norm(covariance).sqrt()
    assert float(torch.linalg.matrix_norm(layer.statistics.running_whitening[0], 2)) <= float(bound) * (1 + 1e-5)


@pytest.mark.parametrize("kind", ["conv2d", "transposed", "linear", "channel map"])
def test_a_batch_that_is_not_finite_moves_no_statistics_and_is_named_once(kind):
    layer, x = build(kind, SETTINGS[0], torch.float32)
    other, _ = build(kind, SETTINGS[0], torch.float32)
    layer(x)
    before = {name: buffer.clone() for name, buffer in layer.named_buffers()}
    bad = torch.full_like(x, float("nan"))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        layer(bad)
        layer(bad)
        other(bad)
    assert len(said) == 2
    for warning, named in zip(said, (layer, other), strict=True):
        assert str(warning.message).startswith(f"{type(named).__name__}({named.extra_repr()}): a batch with NaN")
    assert int(layer.statistics.num_batches_skipped) == 2
    for name, buffer in layer.named_buffers():
        assert torch.equal(buffer, before[name]) or name.endswith("num_batches_skipped")
    layer(x)
    assert int(layer.statistics.num_batches_tracked) == 2
    assert layer.eval()(x).isfinite().all()


@pytest.mark.parametrize("root", [None, Converged(), Eigen()], ids=str)
def test_large_inputs_are_whitened_as_small_ones_are(root):
    """The square of a covariance is beyond float32 from a deviation of 3e9 on."""
    layer = nnd.WhitenedLinear(4, 3, bias=False, whitening=nnd.Whitening(root=root, eps=1e-12))
    x = torch.randn(64, 4)
    x = x @ torch.randn(4, 4)
    results = []
    for scale in (1.0, 2.0**40):
        own = copy.deepcopy(layer)
        results += [own(x * scale), own.eval()(x * scale)]
    for actual, expected in zip(results[2:], results[:2], strict=True):
        assert_close(actual, expected, size=64, condition=10)


@pytest.mark.parametrize("kind", ["conv2d", "channel map"])
def test_a_folded_layer_says_that_it_is_not_finite(kind):
    layer, x = build(kind)
    layer(x)
    layer.statistics.running_mean[0, 0] = torch.nan
    with pytest.warns(RuntimeWarning, match="the folded layer holds NaN or infinity"):
        nd.fold(torch.nn.Sequential(layer))
