"""A data set as it is read: whole, in memory, on the processor."""

from __future__ import annotations

import dataclasses

from torch import Tensor


@dataclasses.dataclass(frozen=True)
class RawImages:
    """Images uint8 (N, H, W, C) and labels int64 (N,)."""

    images: Tensor
    labels: Tensor

    def part(self, index: Tensor) -> RawImages:
        """Return some of the images."""
        return RawImages(self.images[index], self.labels[index])
