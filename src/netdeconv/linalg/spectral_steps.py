r"""The n-step Newton-Schulz polynomial through an eigendecomposition: on processors cheaper than its products.

All matrices of the iteration are polynomials of P = A / ||A||_F (see ``newton_schulz``), so with P = V diag(l) V^T the
result is V diag(p(l)) V^T, and its derivative has the divided differences of p between pairs of eigenvalues as weights
(Daleckii and Krein, 1965):

    dR = V [ p[l_i, l_j] (V^T dP V)_ij ] V^T        p[x, y] = (p(x) - p(y)) / (x - y),  p[x, x] = p'(x)

They follow from the steps themselves, by the chain and product rules of divided differences, without a difference in a
numerator: nothing cancels where eigenvalues are close. Five products of matrices replace 39 for n = 5.

Letters: B matrices, D their size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netdeconv.linalg.symmetric import symmetric_product

# From this size on one eigendecomposition and five products take less time than the steps' products.
_SMALLEST = 128
# An eigenvalue is known to eps ||A||, and n steps multiply the error of a small one by up to 1.5^n. The products'
# errors grow less: measured on eigenvalues down to 1e-6 of the largest, equal up to 7 steps, far apart at 15.
MOST_STEPS = 7


def prefers_eigenvalues(matrix: Tensor, num_iterations: int) -> bool:
    """Whether matrices (B, D, D) go through their eigenvalues: large ones on a processor, outside compilers."""
    return (
        matrix.device.type == "cpu"
        and matrix.shape[-1] >= _SMALLEST
        and num_iterations <= MOST_STEPS
        and not torch.compiler.is_compiling()
    )


def decompose(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (B, D) and eigenvectors (B, D, D) of symmetric matrices; NaN where there are none."""
    try:
        values, vectors = torch.linalg.eigh(matrix)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        return torch.full_like(matrix[..., 0], torch.nan), torch.full_like(matrix, torch.nan)
    return values, vectors


def steps_on(values: Tensor, num_iterations: int) -> Tensor:
    """The n-step polynomial p of every eigenvalue of P."""
    product, root = values, 1.5 - 0.5 * values
    for _ in range(num_iterations - 1):
        product = product * (3 - product) ** 2 / 4
        root = root * (3 - product) / 2
    return root


def divided_differences(values: Tensor, num_iterations: int) -> Tensor:
    """p[l_i, l_j] for all pairs of eigenvalues (B, D) of P: (B, D, D), symmetric."""
    product, root = values, 1.5 - 0.5 * values
    shape = (*values.shape, values.shape[-1])
    of_product = values.new_ones(shape)
    of_root = values.new_full(shape, -0.5)
    for _ in range(num_iterations - 1):
        # q(t) = t (3 - t)^2 / 4 has q[a, b] = (9 - 6 (a + b) + a^2 + a b + b^2) / 4
        part = (product * product - 6 * product + 4.5) / 4
        of_step = part.unsqueeze(-1) + part.unsqueeze(-2)
        of_step.addcmul_(product.unsqueeze(-1), product.unsqueeze(-2), value=0.25)
        of_product.mul_(of_step)
        product = product * (3 - product) ** 2 / 4
        # (T Z)[x, y] = T(x) Z[x, y] + T[x, y] Z(y), with T[x, y] = -P[x, y] / 2
        half = (3 - product) / 2
        of_root.mul_(half.unsqueeze(-1)).addcmul_(of_product, root.unsqueeze(-2), value=-0.5)
        root = root * half
    return of_root


def compose(vectors: Tensor, inner: Tensor) -> Tensor:
    """V X V^T for symmetric X (B, D, D), or diagonal X (B, D)."""
    left = vectors * inner.unsqueeze(-2) if inner.dim() == 2 else torch.bmm(vectors, inner)
    return symmetric_product(left, vectors.mT, torch.zeros_like(vectors), alpha=1.0, beta=0.0)


def root_gradient(values: Tensor, vectors: Tensor, norm: Tensor, grad: Tensor, num_iterations: int) -> Tensor:
    """Gradient with respect to A of <G, p(A / s) s^(-1/2)>, s = ||A||_F, from the eigenvalues of A / s; G symmetric."""
    turned = symmetric_product(torch.bmm(vectors.mT, grad), vectors, torch.zeros_like(grad), alpha=1.0, beta=0.0)
    own = turned.diagonal(dim1=-2, dim2=-1).clone()
    through_p = turned.mul_(divided_differences(values, num_iterations)).div_(norm.sqrt())
    diagonal = through_p.diagonal(dim1=-2, dim2=-1)
    root = steps_on(values, num_iterations) / norm.squeeze(-1).sqrt()
    through_s = (diagonal * values + 0.5 * own * root).sum(-1, keepdim=True)
    diagonal.sub_(through_s * values)
    return compose(vectors, through_p) / norm
