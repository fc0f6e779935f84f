"""A batch in portions that a processor's cache holds.

Patches are as large as the activation they are read from. Copied, centred and multiplied portion by portion they stay
in cache, and the memory of one portion serves them all: pages of new memory cost more than the arithmetic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netdeconv.linalg.geometry import PatchGeometry
from netdeconv.linalg.precision import may_write

_BYTES = 4 * 2**20


def portions(sample: Tensor, geometry: PatchGeometry, dtype: torch.dtype) -> list[slice]:
    """Slices of the batch; one for all of it where portions would not pay or cannot be recorded.

    Args:
        sample: (N, C, ...).
        geometry: of the patches that are copied.
        dtype: of the copies.
    """
    whole = [slice(None)]
    if sample.device.type != "cpu" or not may_write():
        return whole
    bytes_of_entry = geometry.num_samples(sample[:1].shape) * sample.shape[1] * geometry.num_taps * dtype.itemsize
    step = max(1, _BYTES // max(1, bytes_of_entry))
    if step >= len(sample):
        return whole
    return [slice(first, first + step) for first in range(0, len(sample), step)]
