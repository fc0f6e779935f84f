"""What stands where batch norm stood: iterative normalisation against its formulas, group norm, and nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netdeconv as nd
from netdeconv import models
from netdeconv.models.iterative_norm import IterativeNorm, trace_scaled_root
from netdeconv.models.norms import NORMS, replace_norms
from netdeconv.nn import WhitenedLayer, Whitening
from netdeconv.training import batch_statistics
from surgery.networks import Preactivation
from tolerances import FOLDED_FLOAT32, assert_close, assert_within

EPS = 1e-5


def samples(channels: int, *, rows: int = 4000) -> torch.Tensor:
    """Correlated channels with a mean, (N, C), float64."""
    return torch.randn(rows, channels, dtype=torch.float64) @ torch.randn(channels, channels, dtype=torch.float64) + 3


def root_by_eigenvalues(covariance: torch.Tensor, steps: int) -> torch.Tensor:
    """The iteration on the eigenvalues alone: p <- (3 p - p^3 l) / 2."""
    values, vectors = torch.linalg.eigh(covariance)
    scaled, gain = values / values.sum(), torch.ones_like(values)
    for _ in range(steps):
        gain = (3 * gain - gain**3 * scaled) / 2
    return vectors @ torch.diag(gain / values.sum().sqrt()) @ vectors.T


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_the_root_is_the_paper_s_polynomial_scaled_by_the_trace(steps):
    covariance = torch.stack([samples(6).T.cov(), samples(6).T.cov()])
    expected = torch.stack([root_by_eigenvalues(matrix, steps) for matrix in covariance])
    assert_close(trace_scaled_root(covariance, steps), expected, size=6 * steps, condition=10)


def test_outputs_are_centred_and_whitened_group_by_group_then_scaled_and_shifted():
    layer = IterativeNorm(128, dtype=torch.float64)
    nn.init.uniform_(layer.weight, 0.5, 1.5)
    nn.init.normal_(layer.bias)
    x = samples(128).reshape(40, 10, 10, 128).permute(0, 3, 1, 2)
    actual = layer(x).permute(0, 2, 3, 1).reshape(-1, 128)
    rows = x.permute(0, 2, 3, 1).reshape(-1, 128)
    centred = rows - rows.mean(0)
    parts = []
    for group in (centred[:, :64], centred[:, 64:]):  # each with a covariance of its own, of all pixels
        covariance = group.T @ group / len(group) + EPS * torch.eye(64, dtype=torch.float64)
        parts.append(group @ root_by_eigenvalues(covariance, 5))
    expected = torch.cat(parts, 1) * layer.weight + layer.bias
    assert_close(actual, expected.detach(), size=64 * 5, condition=1e3)


def test_many_steps_whiten():
    layer = IterativeNorm(6, dtype=torch.float64, whitening=Whitening(num_iterations=12, eps=1e-15, sampling_stride=1))
    mixing = torch.eye(6, dtype=torch.float64) + 0.2 * torch.randn(6, 6, dtype=torch.float64)
    x = torch.randn(4000, 6, dtype=torch.float64) @ mixing + 3
    assert_close(layer(x).T.cov(correction=0), torch.eye(6, dtype=torch.float64), size=4000, condition=10)


def test_gradients_flow_through_the_statistics():
    layer = IterativeNorm(3, dtype=torch.float64)
    x = samples(3, rows=5).requires_grad_()
    assert torch.autograd.gradcheck(layer, x)


def test_running_statistics_are_what_evaluation_uses_and_folding_keeps():
    layer = IterativeNorm(6)
    nn.init.normal_(layer.bias)
    nn.init.uniform_(layer.weight, 0.5, 1.5)
    x = samples(6).float().reshape(10, 20, 20, 6).permute(0, 3, 1, 2)
    first = layer(x)
    assert layer.running_mean.shape == (1, 6)
    assert_within(layer.eval()(x), first, FOLDED_FLOAT32)  # the first batch counts fully
    layer.train()(2 * x)
    assert not torch.allclose(layer.eval()(x), first, rtol=0.01)
    assert_within(nd.fold(nn.Sequential(layer))(x), layer(x), FOLDED_FLOAT32)


@pytest.mark.parametrize("kind", NORMS)
def test_every_norm_is_replaced_and_nothing_else(kind):
    plain = models.build("resnet18", num_classes=10, in_channels=3, width=0.25)
    before = [type(module) for module in plain.modules()]
    state = {name: value.clone() for name, value in plain.state_dict().items()}
    model = replace_norms(plain, kind)
    assert model is plain
    stands_there = {
        "batch_norm": nn.BatchNorm2d,
        "group_norm": nn.GroupNorm,
        "none": nn.Identity,
        "iterative_norm": IterativeNorm,
    }[kind]
    after = [type(module) for module in model.modules()]
    assert after == [stands_there if old is nn.BatchNorm2d else old for old in before]
    kept = {name: value for name, value in model.named_parameters() if name in state}
    # of 20 norms three statistics each are no parameters, and two parameters go with the norm
    assert len(kept) == len(state) - 3 * 20 - 2 * 20 * (kind == "none")
    assert all(torch.equal(value, state[name]) for name, value in kept.items())
    assert all((layer.bias is None) == (kind != "none") for layer in model.modules() if isinstance(layer, nn.Conv2d))
    assert model(torch.randn(4, 3, 32, 32)).isfinite().all()


def test_a_block_that_starts_as_its_shortcut_still_does():
    for kind in ("group_norm", "iterative_norm"):
        model = replace_norms(models.build("xresnet18", num_classes=10, in_channels=3, width=0.25), kind)
        last = model.stages[0][0].branch[-1]
        assert torch.equal(last.weight, torch.zeros_like(last.weight))
        assert not isinstance(last, nn.BatchNorm2d)


@pytest.mark.parametrize(
    ("channels", "groups"), [(512, 32), (64, 32), (32, 16), (44, 22), (3, 1), (1, 1), (48, 24), (96, 32)]
)
def test_group_norm_has_32_groups_unless_they_would_be_single_channels(channels, groups):
    norm = replace_norms(nn.Sequential(nn.BatchNorm2d(channels)), "group_norm")[0]
    assert norm.num_groups == groups


def test_without_norm_an_activation_does_not_overwrite_what_a_shortcut_reads():
    model = Preactivation()
    x = torch.randn(2, 3, 6, 6)
    replace_norms(model, "none")
    stem = model.stem(x)
    inner = stem + model.conv2(torch.relu(model.conv1(torch.relu(stem))))
    assert torch.equal(model(x), inner)


def test_a_shared_norm_is_replaced_once():
    norm = nn.BatchNorm1d(4)
    model = replace_norms(nn.ModuleList([norm, nn.Sequential(norm)]), "group_norm")
    assert model[0] is model[1][0]
    assert isinstance(model[0], nn.GroupNorm)


def test_whitened_layers_keep_what_they_have():
    plain = models.build("resnet18", num_classes=10, in_channels=3, width=0.25)
    model = replace_norms(nd.convert(plain, nd.Whitening(group_size=4), select="stem"), "none")
    assert [name for name, module in model.named_modules() if isinstance(module, WhitenedLayer)] == ["stem.0"]
    assert model.stem[0].bias is None
    assert model.stages[0][0].branch[0].bias is not None


def test_batch_statistics_are_those_of_iterative_norm_too():
    model = nn.Sequential(IterativeNorm(4)).eval()
    x = samples(4).float()
    with batch_statistics(model):
        assert_close(model(x).mean(0), torch.zeros(4), size=4000, condition=10)
    assert_close(model(x), x)  # the running ones are still at their start


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"unknown norm 'group'; did you mean 'group_norm'\?"):
        replace_norms(nn.Sequential(), "group")
    with pytest.raises(ValueError, match="cannot be replaced in place"):
        replace_norms(nn.BatchNorm1d(3), "none")
