r"""Inverse square root by a fixed number of Newton-Schulz steps, with a hand-written derivative.

The coupled iteration Y <- Y T, Z <- T Z, T = (3 I - Z Y) / 2 starts from Y = P = A / ||A||_F and Z = I.
All its matrices are polynomials of P and commute, so the product P_k = Z_k Y_k can be carried instead of Y_k:

    P_{k+1} = P_k T_k^2        T_k = (3 I - P_k) / 2        Z_{k+1} = T_k Z_k

The first step needs no product for Z and the last none for P: 3 (n - 1) products for n steps. P depends on itself
alone and its fixed point I is super-attractive, so rounding errors do not grow once converged. Large matrices on a
processor go through their eigenvalues instead (``spectral_steps``): the same polynomial and derivative.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from netdeconv import kernels
from netdeconv.linalg import spectral_steps
from netdeconv.linalg.precision import Function, either, frobenius_norm, full_precision, may_write, symmetrize
from netdeconv.linalg.symmetric import symmetric_product


@dataclasses.dataclass(frozen=True)
class NewtonSchulz:
    """A fixed number of Newton-Schulz steps: partial whitening, the paper's method.

    More than 15 steps see a matrix whose diagonal is raised by 8 eps(dtype) of its norm, and stay bounded.
    A direction with eigenvalue ``l = lambda / ||A||_F`` receives a gain of at most ``1.5**n / sqrt(||A||_F)``.

    Args:
        num_iterations: steps, at least 1. Three give matrix products each, but for the first.

    Raises:
        ValueError: when ``num_iterations`` is not a positive integer.
    """

    num_iterations: int = 5

    def __post_init__(self) -> None:
        if type(self.num_iterations) is not int or self.num_iterations < 1:
            raise ValueError(f"num_iterations must be a positive integer, got {self.num_iterations!r}")

    def __call__(self, matrix: Tensor) -> Tensor:
        """Apply to symmetric matrices (B, D, D)."""
        if self.num_iterations > _SAFE_STEPS:
            # Rounding makes the smallest eigenvalues negative, and every step would magnify them by 9/4.
            floor = _FLOOR * torch.finfo(matrix.dtype).eps * frobenius_norm(matrix.detach())
            matrix = matrix + floor * _eye_like(matrix)
        function = either(_ByProducts, _TraceableByProducts)
        if spectral_steps.prefers_eigenvalues(matrix, self.num_iterations):
            function = either(_ByEigenvalues, _TraceableByEigenvalues)
        root: Tensor = function.apply(matrix, self.num_iterations)[0]
        return root


# So many steps magnify the rounding of a float32 eigenvalue to some thousandths at most.
_SAFE_STEPS = 15
# Of the norm, times the rounding unit: more than what two products of an iteration round.
_FLOOR = 8


def _eye_like(matrix: Tensor) -> Tensor:
    return torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)


def _scaled(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric matrices divided by their Frobenius norm, and the norms (B, 1, 1)."""
    matrix = symmetrize(matrix)
    norm = frobenius_norm(matrix)
    return matrix / norm, norm


def _step(product: Tensor) -> Tensor:
    """P -> P T^2 with T = (3 I - P) / 2."""
    half = symmetric_product(product, product, product, beta=1.5, alpha=-0.5)
    return symmetric_product(half, product, half, beta=1.5, alpha=-0.5)


def _derivative_step(product: Tensor, tangent: Tensor) -> Tensor:
    """Directional derivative of P -> P T^2 = (9 P - 6 P^2 + P^3) / 4, in two products.

    With X = dP P:  d(P^2) = X + X^T,  d(P^3) = V + V^T  for  V = (X + X^T / 2) P.
    """
    x = torch.bmm(tangent, product)
    half = torch.add(tangent, x, alpha=-4 / 3)  # the result is half + half^T, a symmetric tangent counting half
    half = torch.baddbmm(half, torch.add(x, x.mT, alpha=0.5), product, beta=1.125, alpha=0.25)
    return half + half.mT


def _root_of_scaled(product: Tensor, num_iterations: int) -> Tensor:
    root = 1.5 * _eye_like(product) - 0.5 * product
    for _ in range(num_iterations - 1):
        product = _step(product)
        root = symmetric_product(product, root, root, beta=1.5, alpha=-0.5)
    return root


def _derivative_of_scaled(product: Tensor, tangent: Tensor, num_iterations: int) -> Tensor:
    """Directional derivative of the n-step polynomial; it equals its own adjoint. Iterates are recomputed."""
    root = 1.5 * _eye_like(product) - 0.5 * product
    root_tangent = -0.5 * tangent
    for step in range(num_iterations - 1):
        tangent = _derivative_step(product, tangent)
        product = _step(product)
        # d(P Z) is symmetric although its two terms are not: P and Z commute
        both = torch.cat([tangent, product], -1)
        root_tangent = symmetric_product(both, torch.cat([root, root_tangent], -2), root_tangent, beta=1.5, alpha=-0.5)
        if step < num_iterations - 2:
            root = symmetric_product(product, root, root, beta=1.5, alpha=-0.5)
    return root_tangent


def _has_kernel(matrix: Tensor) -> bool:
    """Whether one launch can do all steps: small matrices on a GPU."""
    return kernels.supports_newton_schulz_root(matrix) and kernels.usable(matrix)


def _adjoint(scaled: Tensor, norm: Tensor, root: Tensor, grad: Tensor, num_iterations: int) -> Tensor:
    """The gradient of R = p(A / s) s^(-1/2): through p, and through s = ||A||_F, whose gradient is A / s."""
    through_p = _derivative_of_scaled(scaled, grad, num_iterations) / norm.sqrt()
    through_s = (through_p * scaled + 0.5 * grad * root).sum((-2, -1), keepdim=True)
    return (through_p - through_s * scaled) / norm


def _through_norm(scaled: Tensor, norm: Tensor, root: Tensor, direction: Tensor, num_iterations: int) -> Tensor:
    """The derivative of the same R in a symmetric direction."""
    inner = (scaled * direction).sum((-2, -1), keepdim=True)
    through_p = _derivative_of_scaled(scaled, direction - inner * scaled, num_iterations)
    return through_p / (norm * norm.sqrt()) - (0.5 * inner / norm) * root


def _models_stacked(
    function: type[torch.autograd.Function], info: Any, in_dims: tuple[int | None, ...], matrix: Tensor, steps: int
) -> tuple[Any, Any]:
    """A root for several models at once (``vmap``): more matrices."""
    assert in_dims[0] is not None
    results = function.apply(matrix.movedim(in_dims[0], 0).flatten(0, 1), steps)
    apart = tuple(result.unflatten(0, (info.batch_size, -1)) for result in results)
    return apart, (0,) * len(apart)


class _TraceableByProducts(Function):
    """Keeps the matrix and the result; backward is itself differentiable."""

    @staticmethod
    def forward(matrix: Tensor, num_iterations: int) -> tuple[Tensor]:
        if _has_kernel(matrix):
            return (kernels.newton_schulz_root(matrix.contiguous(), num_iterations),)
        with full_precision(matrix):
            scaled, norm = _scaled(matrix)
            return (symmetrize(_root_of_scaled(scaled, num_iterations)) / norm.sqrt(),)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: tuple[Tensor]) -> None:
        matrix, ctx.num_iterations = inputs
        ctx.save_for_backward(matrix, *output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        matrix, root = ctx.saved_tensors
        if may_write() and _has_kernel(matrix):  # the kernel has no second derivative
            grad = kernels.newton_schulz_root_backward(matrix.contiguous(), root, grads[0], ctx.num_iterations)
            return grad, None
        with full_precision(matrix):
            scaled, norm = _scaled(matrix)
            return _adjoint(scaled, norm, root, symmetrize(grads[0]), ctx.num_iterations), None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], matrix: Tensor, num_iterations: int) -> tuple[Any, Any]:
        return _models_stacked(_ByProducts, info, in_dims, matrix, num_iterations)


class _ByProducts(_TraceableByProducts):
    """With a forward derivative."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: tuple[Tensor]) -> None:
        _TraceableByProducts.setup_context(ctx, inputs, output)
        ctx.save_for_forward(inputs[0], output[0])

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> tuple[Tensor]:
        matrix, root = ctx.saved_tensors
        with full_precision(matrix):
            return (_through_norm(*_scaled(matrix), root, symmetrize(tangent), ctx.num_iterations),)


class _TraceableByEigenvalues(Function):
    """Keeps the matrix and its decomposition; a second derivative goes through products."""

    @staticmethod
    def forward(matrix: Tensor, num_iterations: int) -> tuple[Tensor, ...]:
        with full_precision(matrix):
            scaled, norm = _scaled(matrix)
            values, vectors = spectral_steps.decompose(scaled)
            root = spectral_steps.steps_on(values, num_iterations) / norm.sqrt()[..., 0]
            return spectral_steps.compose(vectors, root), values, vectors, norm

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: tuple[Tensor, ...]) -> None:
        matrix, ctx.num_iterations = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(matrix, *output[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        matrix, values, vectors, norm = ctx.saved_tensors
        with full_precision(matrix):
            grad = symmetrize(grads[0])
            if may_write():
                return spectral_steps.root_gradient(values, vectors, norm, grad, ctx.num_iterations), None
            scaled, norm = _scaled(matrix)
            root = _root_of_scaled(scaled, ctx.num_iterations) / norm.sqrt()
            return _adjoint(scaled, norm, root, grad, ctx.num_iterations), None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], matrix: Tensor, num_iterations: int) -> tuple[Any, Any]:
        return _models_stacked(_ByEigenvalues, info, in_dims, matrix, num_iterations)


class _ByEigenvalues(_TraceableByEigenvalues):
    """With a forward derivative."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: tuple[Tensor, ...]) -> None:
        _TraceableByEigenvalues.setup_context(ctx, inputs, output)
        ctx.save_for_forward(inputs[0], output[0])

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> tuple[Tensor | None, ...]:
        return *_ByProducts.jvp(ctx, tangent), None, None, None
