"""Every numeric tolerance of the tests: c · eps(dtype) · condition · size, relative to the largest entry.

* ``eps(dtype)`` is the rounding unit of the dtype the computation ran in.
* ``condition`` is how much the problem itself magnifies a relative change of its input: 1 for sums
  and products, :func:`inverse_sqrt_condition` for an inverse square root.
* ``size`` is the number of terms added up for one entry of the result.
* ``c`` covers the number of such operations in a row. It is a small integer and never a way to
  make a failing test pass: a test that needs a larger one has found something.

The two fixed bounds are requirements of the library, not tolerances chosen by a test.
"""

from __future__ import annotations

import torch

GOLDEN = 1e-9
"""Relative agreement with the published implementation's numbers, float64."""

FOLDED_FLOAT32 = 1e-5
"""Relative agreement of a folded layer with the layer it came from, float32."""


def tolerance(dtype: torch.dtype, *, size: int = 1, condition: float = 1.0, c: float = 4.0) -> float:
    """The relative error that a correct computation of this size may have."""
    return c * torch.finfo(dtype).eps * condition * size


def inverse_sqrt_condition(eigenvalues: torch.Tensor) -> float:
    """How much an inverse square root magnifies relative errors of a matrix with this spectrum.

    The largest entry of the result is min(eigenvalues)^(-1/2); an error of eps · max(eigenvalues) in the
    matrix changes it by up to eps · max / (2 · min) of itself.
    """
    values = eigenvalues.double()
    return max(1.0, float(values.max() / (2 * values.min())))


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference over the largest expected magnitude (over 1 when all are zero), in float64."""
    if actual.shape != expected.shape:
        raise AssertionError(f"shape {tuple(actual.shape)} instead of {tuple(expected.shape)}")
    if actual.numel() == 0:
        return 0.0
    wanted = expected.detach().double()
    scale = float(wanted.abs().max()) or 1.0
    return float((actual.detach().double() - wanted).abs().max()) / scale


def assert_close(
    actual: torch.Tensor,
    expected: torch.Tensor,
    *,
    size: int = 1,
    condition: float = 1.0,
    c: float = 4.0,
    dtype: torch.dtype | None = None,
) -> None:
    """Fail unless ``actual`` is ``expected`` up to :func:`tolerance` of ``dtype`` (its own by default)."""
    assert_within(actual, expected, tolerance(dtype or actual.dtype, size=size, condition=condition, c=c))


def assert_within(actual: torch.Tensor, expected: torch.Tensor, bound: float) -> None:
    """Fail unless the relative error is at most ``bound``; NaN fails."""
    error = relative_error(actual, expected)
    assert error <= bound, f"relative error {error:.3g} is above {bound:.3g}"
