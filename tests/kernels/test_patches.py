"""Statistics by the kernels against the plain functions in float64, over geometries, layouts and dtypes."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch

from netdeconv import kernels
from netdeconv.kernels import patch_plan
from netdeconv.linalg import Grouping, PatchGeometry, patch_statistics
from tolerances import assert_close, assert_within, tolerance


class Case(NamedTuple):
    shape: tuple[int, int, int, int]
    kernel: tuple[int, int]
    step: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    matrices: int = 1
    blocks: int = 1

    @property
    def channels(self) -> int:
        return self.shape[1] // (self.matrices * self.blocks)

    @property
    def arguments(self) -> tuple:
        return (*self[1:7], self.channels)

    def plain(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pairs = (self.padding[:2], self.padding[2:])
        geometry = PatchGeometry(self.kernel, self.step, pairs, self.dilation)
        grouping = Grouping(self.matrices, self.blocks, self.channels)
        return patch_statistics(x.double(), geometry, grouping)[1:]

    @property
    def rows(self) -> int:
        geometry = PatchGeometry(self.kernel, self.step, (self.padding[:2], self.padding[2:]), self.dilation)
        return self.blocks * geometry.num_samples(torch.Size(self.shape))


CASES = {
    "pixels": Case((3, 5, 4, 3), (1, 1)),
    "pixels in blocks": Case((2, 12, 3, 3), (1, 1), step=(2, 1), blocks=3, matrices=2),
    "other pixels": Case((2, 12, 3, 3), (1, 1), step=(1, 2), blocks=3, matrices=2),
    "stem": Case((2, 3, 9, 9), (3, 3), step=(3, 3), padding=(1, 1, 1, 1)),
    "blocks": Case((2, 8, 6, 7), (2, 2), blocks=2),
    "many blocks": Case((2, 8, 4, 3), (3, 2), padding=(1, 0, 0, 2), blocks=4),
    "grouped": Case((1, 12, 3, 6), (1, 3), dilation=(1, 2), padding=(0, 0, 2, 2), matrices=3, blocks=2),
    "depthwise": Case((2, 5, 6, 6), (3, 3), padding=(1, 1, 1, 1), step=(2, 2), matrices=5),
    "two tiles": Case((1, 9, 5, 5), (3, 3), padding=(1, 1, 1, 1)),
    "three tiles": Case((1, 12, 6, 6), (5, 3), padding=(2, 2, 1, 1), step=(2, 1), dilation=(2, 1)),
    "four tiles": Case((1, 13, 5, 5), (3, 5), padding=(1, 1, 4, 4), dilation=(1, 2)),
    "padding alone": Case((2, 2, 1, 1), (2, 2), padding=(3, 3, 3, 3), step=(2, 2)),
    "after only": Case((1, 2, 4, 4), (3, 3), padding=(0, 1, 0, 3), step=(2, 2)),
    "several programs": Case((2, 4, 12, 12), (2, 2), blocks=2),
}


def sample(case: Case, device: str) -> torch.Tensor:
    """Correlated channels of different scales and a mean."""
    channels = case.shape[1]
    mixing = torch.randn(channels, channels) + torch.eye(channels)
    x = torch.einsum("nchw,dc->ndhw", torch.randn(case.shape), mixing) + torch.randn(channels, 1, 1)
    return x.contiguous().to(device)


def compare(case: Case, actual: tuple[torch.Tensor, torch.Tensor], x: torch.Tensor) -> None:
    for got, wanted in zip(actual, case.plain(x), strict=True):
        assert got.dtype == torch.float32
        assert got.is_contiguous()
        assert_close(got, wanted, size=case.rows)


@pytest.mark.parametrize("name", CASES)
def test_statistics_are_the_plain_ones(name, device):
    case = CASES[name]
    x = sample(case, device)
    compare(case, kernels.patch_statistics(x, *case.arguments), x)


def test_strides_do_not_matter(device):
    case = CASES["pixels in blocks"]._replace(kernel=(2, 1), padding=(0, 1, 0, 0))
    x = sample(case, device)
    inside = x.new_zeros(2, 24, 5, 3)
    inside[:, ::2, 1:4] = x
    views = [
        x.contiguous(memory_format=torch.channels_last),
        x.transpose(0, 3).contiguous().transpose(0, 3),
        inside[:, ::2, 1:4],
    ]
    for view in views:
        assert torch.equal(view, x)
        assert view.stride() != x.stride()
        compare(case, kernels.patch_statistics(view, *case.arguments), x)
    repeated = x[:1].expand(case.shape)
    compare(case, kernels.patch_statistics(repeated, *case.arguments), repeated)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_inputs_are_summed_in_float32_and_tensor_cores_round_the_terms(dtype, device):
    case = CASES["many blocks" if dtype == torch.float16 else "three tiles"]
    x = sample(case, device).to(dtype)
    mean, covariance = kernels.patch_statistics(x, *case.arguments)
    wanted_mean, wanted = case.plain(x)
    assert_close(mean, wanted_mean, size=case.rows)
    # TensorFloat32 has 10 bits after the point: two terms cut off change a product by at most 2 * 2^-10 of itself,
    # and a sum of magnitudes is at most the largest variance.
    assert_within(covariance, wanted, 2 * 2**-10 + tolerance(torch.float32, size=case.rows))


@pytest.mark.parametrize("name", ["grouped", "many blocks", "two tiles"])
def test_any_division_among_programs(name, device, monkeypatch):
    monkeypatch.setattr(patch_plan, "LEAST_STEPS", 1)
    case = CASES[name]
    x = sample(case, device)
    features = case.channels * case.kernel[0] * case.kernel[1]
    plan = patch_plan.plan_patches(features, case.matrices, case.blocks, case.rows // case.blocks, "ieee")
    assert plan.products.splits > 1
    compare(case, kernels.patch_statistics(x, *case.arguments), x)


def test_constant_channels_have_no_variance(device):
    case = CASES["pixels in blocks"]
    x = torch.randn(case.shape, device=device)
    x[:, 0:6] = 3.0
    mean, covariance = kernels.patch_statistics(x, *case.arguments)
    assert torch.equal(mean[0], torch.full_like(mean[0], 3.0))
    assert torch.equal(covariance[0], torch.zeros_like(covariance[0]))
    assert covariance[1].diagonal().min() > 0


def test_one_row_has_no_variance(device):
    case = Case((1, 2, 3, 3), (3, 3))
    x = torch.randn(case.shape, device=device)
    mean, covariance = kernels.patch_statistics(x, *case.arguments)
    assert torch.equal(mean[0], x.flatten(2).transpose(1, 2).flatten())
    assert torch.equal(covariance, torch.zeros_like(covariance))


def test_what_is_not_finite_stays_with_its_features(device):
    case = CASES["blocks"]
    x = sample(case, device)
    x[0, 1, 2, 2] = torch.nan  # channel 1 of 4 in the first block: features 1, 5, 9, 13
    mean, covariance = kernels.patch_statistics(x, *case.arguments)
    touched = torch.arange(16, device=device) % 4 == 1
    assert torch.equal(mean[0].isnan(), touched)
    assert torch.equal(covariance[0].isnan(), touched[:, None] | touched[None, :])


def test_a_large_mean_does_not_cancel(device):
    case = CASES["grouped"]._replace(padding=(0, 0, 0, 0))
    x = torch.randn(case.shape, device=device)
    x += torch.tensor([1000.0, -1000.0, 500.0], device=device).repeat_interleave(4)[:, None, None]
    _, covariance = kernels.patch_statistics(x, *case.arguments)
    # the mean is off by at most rows * eps of itself, and the square of that is added to the covariance
    off = (1000.0 * tolerance(torch.float32, size=case.rows, c=1)) ** 2
    wanted = case.plain(x)[1]
    bound = tolerance(torch.float32, size=case.rows) + off / float(wanted.abs().max())
    assert bound < 1e-3
    assert_within(covariance, wanted, bound)


def test_the_operator_is_well_formed(device):
    case = CASES["pixels"]
    x = sample(case, device).contiguous(memory_format=torch.channels_last)
    arguments = [list(a) if isinstance(a, tuple) else a for a in case.arguments]
    operator = torch.ops.netdeconv.patch_statistics.default
    torch.library.opcheck(operator, (x, *arguments))


def test_compilers_trace_through(device):
    case = CASES["stem"]
    x = sample(case, device)

    def statistics(x: torch.Tensor) -> torch.Tensor:
        if not (kernels.usable(x) and kernels.supports_patch_statistics(x, case.kernel)):
            return x
        mean, covariance = kernels.patch_statistics(x, *case.arguments)
        return covariance + mean[:, :, None]

    torch.compiler.reset()
    compiled = torch.compile(statistics, fullgraph=True, backend="aot_eager")
    assert compiled(x).shape == (1, 27, 27)
    assert torch.equal(compiled(x), statistics(x))
