"""Newton-Schulz roots and their derivative by the kernels, against the plain functions in float64."""

from __future__ import annotations

import pytest
import torch

from linalg_matrices import SPECTRA, with_spectrum
from netdeconv import kernels
from netdeconv.kernels import roots
from netdeconv.linalg import NewtonSchulz
from tolerances import assert_close, tolerance

# size and steps: every padded size, sizes that fill it and sizes that do not, few steps and more
SIZES = [(1, 2), (3, 6), (16, 1), (27, 2), (64, 1), (100, 1), (128, 1)]


def scales(batch: int) -> torch.Tensor:
    return torch.logspace(-2, 2, batch)


def matrices(size: int, device: str, batch: int = 2) -> torch.Tensor:
    factor = torch.randn(batch, size, size + 4)
    matrix = factor @ factor.mT / size + 0.1 * torch.eye(size)
    return (matrix * scales(batch)[:, None, None]).to(device)


def plain(matrix: torch.Tensor, grad: torch.Tensor, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = matrix.double().requires_grad_()
    root = NewtonSchulz(steps)(leaf)
    root.backward(grad.double())
    return root.detach(), leaf.grad


@pytest.mark.parametrize(("size", "steps"), SIZES)
def test_root_and_gradient_are_the_plain_ones(size, steps, device):
    matrix = matrices(size, device, batch=1 if size > 32 or steps > 4 else 2)
    grad = torch.randn_like(matrix)
    root = kernels.newton_schulz_root(matrix, steps)
    gradient = kernels.newton_schulz_root_backward(matrix, root, grad, steps)
    wanted_root, wanted_gradient = plain(matrix, grad, steps)
    smallest = 0.1 * scales(matrix.shape[0])
    for index in range(matrix.shape[0]):  # each matrix by its own scale
        # Rounding errors of a direction grow like its gain: at most 1.5 in each step, and l^(-1/2) in all, where
        # no eigenvalue l of the scaled matrix is below 0.1 over the norm. Steps follow one another.
        size_of_sum, condition = size * steps, min(1.5**steps, float(matrix[index].norm() / smallest[index]) ** 0.5)
        assert_close(root[index], wanted_root[index], size=size_of_sum, condition=condition)
        assert_close(gradient[index], wanted_gradient[index], size=size_of_sum, condition=condition)
    assert torch.equal(root, root.mT)


@pytest.mark.parametrize("name", ["equal pairs", "one large", "tiny scale", "huge scale"])
def test_structured_spectra(name, device):
    matrix = with_spectrum(SPECTRA[name], torch.float32)[0][None].to(device)
    grad = torch.randn_like(matrix)
    root = kernels.newton_schulz_root(matrix, 3)
    wanted_root, wanted_gradient = plain(matrix, grad, 3)
    assert_close(root, wanted_root, size=6, condition=1.5**3)
    gradient = kernels.newton_schulz_root_backward(matrix, root, grad, 3)
    assert_close(gradient, wanted_gradient, size=6, condition=1.5**3, c=16)


def test_the_gradient_is_the_derivative(device):
    matrix = matrices(5, device, batch=1)
    grad, direction = torch.randn_like(matrix), torch.randn_like(matrix)
    direction /= direction.norm() / matrix.norm()
    root = kernels.newton_schulz_root(matrix, 3)
    gradient = kernels.newton_schulz_root_backward(matrix, root, grad, 3)

    def value(t: float) -> torch.Tensor:
        return (kernels.newton_schulz_root(matrix + t * direction, 3).double() * grad).sum()

    h = 2**-6
    # Five points: what is left out is of the order h^4; rounding is magnified by 1 / h, as all terms have about the
    # size of |grad| |root|.
    derivative = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)
    scale = float(grad.norm() * root.norm())
    bound = tolerance(torch.float32, size=5, condition=1 / h) + h**4
    assert abs(float((gradient * direction).sum() - derivative)) <= bound * scale
    assert abs(float(derivative)) > 10 * bound * scale


def test_only_the_symmetric_part_counts(device):
    matrix = matrices(7, device, batch=1)
    grad, skew = torch.randn_like(matrix), torch.randn_like(matrix)
    skew = skew - skew.mT
    root = kernels.newton_schulz_root(matrix, 2)
    assert_close(kernels.newton_schulz_root(matrix + 0.1 * skew, 2), root, size=7, condition=1.5**2)
    gradient = kernels.newton_schulz_root_backward(matrix, root, grad, 2)
    skewed = kernels.newton_schulz_root_backward(matrix + 0.1 * skew, root, grad + skew, 2)
    assert_close(skewed, gradient, size=7, condition=1.5**2, c=16)


def test_strides_do_not_matter(device):
    matrix = matrices(5, device)
    root = kernels.newton_schulz_root(matrix, 1)
    spread = torch.zeros(2, 5, 10, device=device)
    spread[..., ::2] = matrix
    assert torch.equal(kernels.newton_schulz_root(spread[..., ::2], 1), root)
    ones = torch.ones((), device=device).expand(2, 5, 5)
    gradient = kernels.newton_schulz_root_backward(spread[..., ::2], root, ones, 1)
    assert torch.equal(gradient, kernels.newton_schulz_root_backward(matrix, root, ones.contiguous(), 1))


def test_padding_stays_the_identity(device, monkeypatch):
    """Padding that grew would become infinite after some steps, and not a number where it meets a zero."""
    areas = []

    def noted(*arguments):
        areas.append(scratch(*arguments))
        return areas[-1]

    scratch = roots._scratch
    monkeypatch.setattr(roots, "_scratch", noted)
    kernels.newton_schulz_root(matrices(3, device, batch=1), 4)
    eye = torch.eye(16, device=device)
    for matrix in areas[0][0, :2]:  # the scaled matrix and the root
        assert torch.equal(matrix[3:], eye[3:])
        assert torch.equal(matrix[:, 3:], eye[:, 3:])


def test_degenerate_matrices(device):
    zero = torch.zeros(1, 4, 4, device=device)
    root = kernels.newton_schulz_root(zero, 2)
    assert_close(root, NewtonSchulz(2)(zero), size=4)
    ones = torch.ones(1, 4, 4, device=device)
    assert_close(kernels.newton_schulz_root(ones, 3), NewtonSchulz(3)(ones.double()), size=4, condition=1.5**3)


def test_one_bad_matrix_does_not_spoil_the_others(device):
    matrix = matrices(3, device, batch=3)
    matrix[1, 0, 2] = torch.nan
    root = kernels.newton_schulz_root(matrix, 2)
    gradient = kernels.newton_schulz_root_backward(matrix, root, torch.ones_like(matrix), 2)
    for result in (root, gradient):
        assert result[1].isnan().all()
        assert result[::2].isfinite().all()


def test_the_operators_are_well_formed(device):
    matrix = matrices(3, device, batch=1)
    root = kernels.newton_schulz_root(matrix, 1)
    operators = torch.ops.netdeconv
    torch.library.opcheck(operators.newton_schulz_root.default, (matrix.mT, 1))
    torch.library.opcheck(operators.newton_schulz_root_backward.default, (matrix, root, root, 1))


def test_compilers_trace_through(device):
    matrix = matrices(3, device, batch=1)

    def both(matrix: torch.Tensor) -> torch.Tensor:
        if not (kernels.usable(matrix) and kernels.supports_newton_schulz_root(matrix)):
            return matrix
        root = kernels.newton_schulz_root(matrix, 1)
        return root + kernels.newton_schulz_root_backward(matrix, root, root, 1)

    torch.compiler.reset()
    compiled = torch.compile(both, fullgraph=True, backend="aot_eager")
    assert not torch.equal(compiled(matrix), matrix)
    assert torch.equal(compiled(matrix), both(matrix))
