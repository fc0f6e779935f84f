"""Published layers as drop-ins: names of their state, schedule, left-over channels, refusals."""

from __future__ import annotations

import copy
import inspect

import pytest
import torch
from torch import nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from netdeconv.published import ChannelDeconv, Delinear, FastDeconv
from published_network import drawn, network

ARGUMENTS = {
    FastDeconv: "in_channels out_channels kernel_size stride=1 padding=0 dilation=1 groups=1 bias=True eps=1e-05 "
    "n_iter=5 momentum=0.1 block=64 sampling_stride=3 freeze=False freeze_iter=100",
    Delinear: "in_features out_features bias=True eps=1e-05 n_iter=5 momentum=0.1 block=512",
    ChannelDeconv: "block eps=0.01 n_iter=5 momentum=0.1 sampling_stride=3",
}


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_arguments_are_the_published_ones(kind):
    parameters = inspect.signature(kind).parameters.values()
    described = [p.name if p.default is p.empty else f"{p.name}={p.default}" for p in parameters]
    assert " ".join(described) == ARGUMENTS[kind]


def test_state_has_the_published_names():
    assert list(FastDeconv(8, 4, 3).state_dict()) == ["weight", "bias", "running_mean", "running_deconv"]
    assert list(Delinear(8, 4).state_dict()) == ["weight", "bias", "running_mean", "running_deconv"]
    names = ["running_mean1", "running_deconv", "running_mean2", "running_var", "num_batches_tracked"]
    assert list(ChannelDeconv(4).state_dict()) == names


def test_state_has_the_published_shapes():
    shapes = [tuple(FastDeconv(8, 4, 3, **own).running_deconv.shape) for own in ({}, {"block": 6}, {"groups": 2})]
    assert shapes == [(72, 72), (18, 18), (2, 36, 36)]
    assert [FastDeconv(8, 4, 3, **own).running_mean.numel() for own in ({}, {"block": 6}, {"groups": 2})] == [
        72,
        18,
        72,
    ]
    assert Delinear(12, 4, block=8).running_deconv.shape == (4, 4)
    assert ChannelDeconv(4).running_mean1.shape == (4, 1)


def with_channels() -> nn.Module:
    return nn.Sequential(ChannelDeconv(2), network()).double()


@pytest.mark.parametrize("root", ["running_deconv", "running_cov_isqrt"])
@pytest.mark.parametrize("wrapper", ["", "module."])
def test_a_checkpoint_comes_back_also_under_the_names_of_its_successor(root, wrapper):
    model = with_channels()
    model(drawn(4, 3, 9, 9))
    saved = {wrapper + name.replace("running_deconv", root): value for name, value in model.state_dict().items()}
    given = list(saved)
    consume_prefix_in_state_dict_if_present(saved, "module.")
    loaded = with_channels()
    for parameter in loaded.parameters():
        parameter.data.zero_()
    loaded.load_state_dict(saved)
    assert list(saved) == [name.removeprefix(wrapper) for name in given]  # the caller's checkpoint is not changed
    x = drawn(2, 3, 9, 9)
    assert torch.equal(loaded.eval()(x), model.eval()(x))
    for network_ in (loaded, model):
        network_.train()(x)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())


def test_a_checkpoint_of_another_network_is_refused():
    state = network().state_dict()
    with pytest.raises(RuntimeError, match=r"Missing key.*0\.running_deconv"):
        network().load_state_dict({name: value for name, value in state.items() if name != "0.running_deconv"})
    with pytest.raises(RuntimeError, match=r"size mismatch for 0\.running_deconv"):
        network().load_state_dict({**state, "0.running_deconv": torch.eye(2)})


def test_frozen_steps_use_the_running_statistics():
    layer = FastDeconv(3, 4, 3, freeze=True, freeze_iter=2).double()
    moved = []
    for _ in range(24):
        before = layer.running_deconv.clone()
        x = drawn(4, 3, 9, 9)
        expected = copy.deepcopy(layer).eval()(x)
        y = layer(x)
        moved.append(not torch.equal(before, layer.running_deconv))
        assert moved[-1] or torch.equal(y, expected)
    assert [step for step, value in enumerate(moved) if value] == [0, 1, 20, 21]


def test_frozen_steps_have_no_gradient_through_the_statistics():
    layer = FastDeconv(3, 4, 3, freeze=True, freeze_iter=1).double()
    x = drawn(4, 3, 9, 9).requires_grad_()
    layer(x)
    weight, _ = layer.whitened_weight(*layer.running())
    layer(x).sum().backward()
    expected = nn.grad.conv2d_input(x.shape, weight.detach(), torch.ones(4, 4, 7, 7, dtype=torch.float64))
    assert torch.allclose(x.grad, expected, rtol=1e-12)


def test_the_schedule_is_not_saved_with_the_weights():
    layer = FastDeconv(3, 4, 3, freeze=True, freeze_iter=1).double()
    layer(drawn(4, 3, 9, 9))
    loaded = FastDeconv(3, 4, 3, freeze=True, freeze_iter=1).double()
    loaded.load_state_dict(layer.state_dict())
    loaded(drawn(4, 3, 9, 9))
    assert not torch.equal(loaded.running_deconv, layer.running_deconv)  # it starts with a step of statistics again


@pytest.mark.parametrize("make", [lambda: FastDeconv(3, 4, 3), lambda: Delinear(3, 4), lambda: ChannelDeconv(2)])
def test_an_evaluation_can_be_differentiated_after_a_training_step(make):
    layer = make().double()
    x = (drawn(8, 3) if isinstance(layer, Delinear) else drawn(8, 3, 9, 9)).requires_grad_()
    evaluated = layer.eval()(x)
    layer.train()(x)
    evaluated.sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FastDeconv(3, 4, 3, block=0), "block must be a positive integer, got 0"),
        (lambda: FastDeconv(3, 4, 3, n_iter=0), "n_iter must be a positive integer, got 0"),
        (lambda: FastDeconv(3, 4, 3, sampling_stride=-1), "sampling_stride must be a positive integer, got -1"),
        (lambda: FastDeconv(3, 4, 3, freeze_iter=0), "freeze_iter must be a positive integer, got 0"),
        (lambda: FastDeconv(3, 4, 3, groups=2), "in_channels must be divisible by groups"),
        (lambda: Delinear(3, 4, block=2.0), r"block must be a positive integer, got 2\.0"),
        (lambda: Delinear(3, 4, eps=-1e-5), "eps must be finite and not negative, got -1e-05"),
        (lambda: ChannelDeconv(4, momentum=1.5), r"momentum must be in \[0, 1\], got 1\.5"),
        (lambda: ChannelDeconv(4, n_iter=0), "n_iter must be a positive integer, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_left_over_channels_are_sampled_like_the_others():
    layer = ChannelDeconv(4, sampling_stride=2).double()
    x = drawn(3, 6, 8, 8)
    layer(x)
    sample = x[:, 4:].transpose(0, 1).flatten()[::4]
    assert torch.allclose(layer.running_mean2, sample.mean().view(1, 1))
    assert torch.allclose(layer.running_var, sample.var().view(1, 1))
    with pytest.raises(ValueError, match="3 channels, fewer than a block of 4"):
        layer(x[:, :3])
