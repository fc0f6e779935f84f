"""How the kernels form products."""

from __future__ import annotations

# Triton's words: float32; three products of TensorFloat32 terms, which is nearly float32; one such product.
PRECISIONS = ("ieee", "tf32x3", "tf32")


def check_precision(precision: str) -> None:
    """Refuse other words than Triton's.

    Raises:
        ValueError: for any of them.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {PRECISIONS}, got {precision!r}")
