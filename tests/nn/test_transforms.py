"""``torch.func``: derivatives of every kind, ensembles in training and evaluation, and what moves the statistics."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.func import functional_call, grad, jvp, stack_module_state, vmap

import netdeconv.nn as nnd
from layers import KINDS, SETTINGS, build
from netdeconv.linalg import Converged, Eigen, NewtonSchulz, inverse_sqrt
from netdeconv.nn import statistics_mode
from tolerances import assert_close

# torch imports its own scripted functions for forward derivatives
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script.*:FutureWarning", "ignore:.*torch.jit.script.*:DeprecationWarning"
)
SOME = ["conv2d strided", "conv2d grouped", "conv2d padded blocks", "transposed", "linear", "channel map"]


def ensemble(kind, settings, count=3):
    """Layers alike but for parameters and statistics, and an input for each."""
    models = [build(kind, settings)[0] for _ in range(count)]
    x = torch.stack([torch.randn_like(build(kind)[1]) for _ in models])
    for model, own in zip(models, x, strict=True):
        model(own + 1)
    return models, x


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("kind", SOME)
def test_an_ensemble_is_its_models(kind, training):
    models, x = ensemble(kind, SETTINGS[len(kind) % 3])
    for model in models:
        model.train(training)
    parameters, buffers = stack_module_state(models)
    one = copy.deepcopy(models[0])

    def loss(parameters, buffers, x):
        return functional_call(one, (parameters, buffers), (x,)).square().sum()

    losses = vmap(loss)(parameters, {name: buffer.clone() for name, buffer in buffers.items()}, x)
    gradients = vmap(grad(loss))(parameters, buffers, x)
    for index, (model, own) in enumerate(zip(models, x, strict=True)):
        expected = model(own).square().sum()
        assert_close(losses[index], expected, size=500)
        if not parameters:
            continue
        wanted = torch.autograd.grad(expected, list(model.parameters()))
        for (name, _), value in zip(model.named_parameters(), wanted, strict=True):
            assert_close(gradients[name][index], value, size=500, condition=10)
        for name, buffer in model.named_buffers():  # of each model its own
            assert_close(buffers[name][index].double(), buffer.double(), size=100)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("kind", SOME)
def test_forward_derivatives_are_those_of_differences(kind, training):
    layer, x = build(kind, SETTINGS[0])
    layer(x)
    layer.train(training)
    names = [name for name, _ in layer.named_parameters()]
    values = (x, *(p.detach() for p in layer.parameters()))
    moves = tuple(torch.randn_like(value) for value in values)

    def call(x, *parameters):
        with statistics_mode(layer, "batch"):
            return functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))

    _, tangent = jvp(call, values, moves)
    step = 1e-5
    ahead, behind = (call(*(v + sign * step * m for v, m in zip(values, moves, strict=True))) for sign in (1, -1))
    difference = (ahead - behind).detach() / (2 * step)
    assert (tangent - difference).abs().max() < 1e-6 * difference.abs().max()


@pytest.mark.parametrize("size", [5, 130])
@pytest.mark.parametrize("method", [NewtonSchulz(3), NewtonSchulz(9), Converged(), Eigen()], ids=str)
def test_roots_of_several_models_and_their_derivatives(method, size):
    factor = torch.randn(3, 2, size, 2 * size, dtype=torch.float64)
    matrix = factor @ factor.mT / size + 0.1 * torch.eye(size, dtype=torch.float64)
    upstream, move = torch.randn_like(matrix), torch.randn_like(matrix)
    move = move + move.mT

    def root(matrix):
        return inverse_sqrt(matrix, method=method)

    def weighted(matrix, upstream):
        return (root(matrix) * upstream).sum()

    leaf = matrix.clone().requires_grad_()
    expected = torch.autograd.grad(weighted(leaf, upstream), leaf)[0]
    assert_close(vmap(root)(matrix), root(matrix), size=size, condition=100)
    assert_close(vmap(grad(weighted))(matrix, upstream), expected, size=size, condition=100)
    tangent = jvp(root, (matrix,), (move,))[1]
    assert_close((tangent * upstream).sum(), (expected * move).sum(), size=size**2, condition=100)


def test_gradients_of_each_sample_in_evaluation():
    layer, x = build("conv2d", SETTINGS[0])
    layer(x)
    layer.eval()
    parameters = {name: p.detach() for name, p in layer.named_parameters()}

    def loss(parameters, image):
        return functional_call(layer, parameters, (image.unsqueeze(0),)).square().sum()

    found = vmap(grad(loss), in_dims=(None, 0))(parameters, x)
    for index, image in enumerate(x):
        expected = torch.autograd.grad(layer(image.unsqueeze(0)).square().sum(), layer.weight)[0]
        assert_close(found["weight"][index], expected, size=500)


def test_a_schedule_is_each_models_own():
    models, x = ensemble("conv2d", nnd.Whitening(freeze=nnd.Freeze(active=1, period=3), eps=0.1))
    models[1].statistics.num_steps.fill_(3)  # active now; the others are not
    parameters, buffers = stack_module_state(models)
    one = copy.deepcopy(models[0])
    outputs = vmap(lambda p, b, x: functional_call(one, (p, b), (x,)))(parameters, buffers, x)
    for index, (model, own) in enumerate(zip(models, x, strict=True)):
        assert_close(outputs[index], model(own), size=36, condition=10)
        assert int(buffers["statistics.num_batches_tracked"][index]) == (2 if index == 1 else 1)
    models[1].statistics.num_steps.fill_(3)
    _, buffers = stack_module_state(models)
    x[:2] = torch.nan
    vmap(lambda p, b, x: functional_call(one, (p, b), (x,)))(parameters, buffers, x)
    assert buffers["statistics.num_batches_skipped"].tolist() == [0, 1, 0]  # a frozen model skips nothing


def test_kinds_are_known():
    assert set(SOME) <= set(KINDS)
