"""On a GPU: sizes of real layers, both memory formats, mixed precision and whole-graph compilation."""

from __future__ import annotations

import pytest
import torch

from netdeconv import kernels
from netdeconv.linalg import Grouping, NewtonSchulz, PatchGeometry, patch_statistics
from tolerances import assert_close, assert_within, tolerance

if not torch.cuda.is_available():
    pytest.skip("these sizes need a GPU", allow_module_level=True)

# input, kernel, step, padding, G, S, B
LAYERS = {
    "stem": ((64, 3, 64, 64), 7, 6, 3, 1, 1, 3),
    "blocks of 64": ((32, 128, 28, 28), 3, 3, 1, 1, 2, 64),
    "three blocks": ((16, 192, 14, 14), 3, 3, 1, 1, 3, 64),
    "pointwise": ((16, 256, 14, 14), 1, 3, 0, 1, 4, 64),
    "depthwise": ((16, 96, 28, 28), 3, 3, 1, 96, 1, 1),
    "grouped": ((8, 128, 15, 13), 5, 4, 2, 2, 4, 16),
}


def arguments(name: str) -> tuple:
    _, kernel, step, padding, *grouping = LAYERS[name]
    return ((kernel,) * 2, (step,) * 2, (padding,) * 4, (1, 1), *grouping)


def plain(name: str, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    kernel, step, padding, dilation, *grouping = arguments(name)
    geometry = PatchGeometry(kernel, step, (padding[:2], padding[2:]), dilation)
    rows = grouping[1] * geometry.num_samples(x.shape)
    return *patch_statistics(x.double(), geometry, Grouping(*grouping))[1:], rows


def images(name: str, dtype: torch.dtype, channels_last: bool) -> torch.Tensor:
    x = torch.randn(LAYERS[name][0], device="cuda").cumsum(1).add(1.0).to(dtype)
    return x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", LAYERS)
def test_statistics_of_real_layers(name, dtype, channels_last):
    x = images(name, dtype, channels_last)
    assert kernels.usable(x)
    mean, covariance = kernels.patch_statistics(x, *arguments(name))
    wanted_mean, wanted, rows = plain(name, x)
    assert_close(mean, wanted_mean, size=rows)
    # narrow inputs are multiplied as TensorFloat32: each of two terms loses up to 2^-10 of itself
    rounded = 0.0 if dtype == torch.float32 else 2 * 2**-10
    assert_within(covariance, wanted, rounded + tolerance(torch.float32, size=rows))
    again = kernels.patch_statistics(x, *arguments(name))
    assert torch.equal(again[0], mean)
    assert torch.equal(again[1], covariance)


@pytest.mark.parametrize("steps", [1, 5, 15])
@pytest.mark.parametrize("size", [1, 9, 16, 27, 32, 64, 100, 128])
def test_roots_of_many_matrices(size, steps):
    factor = torch.randn(300, size, 2 * size, device="cuda")
    matrix = (factor @ factor.mT / (2 * size) + 1e-3 * torch.eye(size, device="cuda")).contiguous()
    grad = torch.randn_like(matrix)
    root = kernels.newton_schulz_root(matrix, steps)
    gradient = kernels.newton_schulz_root_backward(matrix, root, grad, steps)
    leaf = matrix.double().requires_grad_()
    wanted = NewtonSchulz(steps)(leaf)
    wanted.backward(grad.double())
    condition = min(1.5**steps, 100.0)
    assert_close(root, wanted, size=size * steps, condition=condition)
    assert_close(gradient, leaf.grad, size=size * steps, condition=condition, c=16)
    # no program may see another's matrices, nor an earlier state of its own
    for _ in range(3):
        assert torch.equal(kernels.newton_schulz_root(matrix, steps), root)
        assert torch.equal(kernels.newton_schulz_root_backward(matrix, root, grad, steps), gradient)


def test_whole_graph_compilation():
    name = "stem"
    x = images(name, torch.float32, True)

    def whiten(x: torch.Tensor) -> torch.Tensor:
        if not (kernels.usable(x) and kernels.supports_patch_statistics(x, arguments(name)[0])):
            return x
        _, covariance = kernels.patch_statistics(x, *arguments(name))
        eye = torch.eye(covariance.shape[-1], device=x.device)
        matrix = (covariance + eye)[:, :100, :100]
        if not kernels.supports_newton_schulz_root(matrix):
            return x
        root = kernels.newton_schulz_root(matrix, 5)
        return kernels.newton_schulz_root_backward(matrix, root, root @ root, 5)

    torch.compiler.reset()
    compiled = torch.compile(whiten, fullgraph=True)
    expected = whiten(x)
    assert expected.shape == (1, 100, 100)
    assert_close(compiled(x), expected, size=100 * 5, condition=1.5**5, c=16)


def test_kernels_run_where_the_tensor_is():
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    matrix = torch.eye(5, device="cuda:1")[None]
    assert_close(kernels.newton_schulz_root(matrix, 20), matrix, size=5)
