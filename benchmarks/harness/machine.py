"""What this machine can do at best, measured: arithmetic by a large matrix product, memory by a large copy."""

from __future__ import annotations

import dataclasses

import torch

from benchmarks.harness.environment import synchronizer
from benchmarks.harness.timing import interleave

_SIZES = {"cpu": (2048, 2**28), "cuda": (8192, 2**32)}  # rows of the matrices; bytes copied


@dataclasses.dataclass(frozen=True)
class Peak:
    """The best of several tries.

    Args:
        operations: additions and multiplications a second, by dtype.
        bandwidth: bytes read and written a second.
    """

    operations: dict[torch.dtype, float]
    bandwidth: float

    def __str__(self) -> str:
        rates = {str(dtype).removeprefix("torch."): rate / 1e9 for dtype, rate in self.operations.items()}
        listed = "".join(f"{name} {rates[name]:.4g} GFLOP/s, " for name in sorted(rates))
        return f"{listed}{self.bandwidth / 1e9:.4g} GB/s"

    def bound(self, operations: float, moved: float, dtype: torch.dtype) -> float:
        """Seconds below which no code gets that does and moves this much: the larger of two times."""
        return max(operations / self.operations[dtype], moved / self.bandwidth)


def measure_peak(device: torch.device, dtypes: set[torch.dtype], *, scale: float = 1.0) -> Peak:
    """Measure; random numbers, as products of zeros can be faster.

    Args:
        device: the machine's part.
        dtypes: of the products.
        scale: factor on the sizes, for tests.
    """
    rows, copied = (max(8, int(size * scale)) for size in _SIZES[device.type])
    rates = {}
    for dtype in dtypes:
        left, right = (torch.randn(rows, rows, device=device).to(dtype) for _ in range(2))
        rates[dtype] = 2 * rows**3 / _fastest(lambda left=left, right=right: left @ right, device)
    source = torch.ones(copied, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return Peak(rates, 2 * copied / _fastest(lambda: target.copy_(source), device))


def _fastest(action, device: torch.device) -> float:
    samples = interleave({"it": action}, rounds=5, warmup=2, synchronize=synchronizer(device))
    if samples.errors:
        raise RuntimeError(f"the machine's peak could not be measured: {samples.errors['it']}")
    return min(samples.seconds["it"])
