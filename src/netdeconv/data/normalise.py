"""From bytes to what a network sees.

Shape letters: B batch, H height, W width, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netdeconv.data.entry import DatasetInfo


class Normalise:
    """Turns uint8 images (B, H, W, C) into float32 (B, C, H, W), channels last in memory, of mean 0 and deviation 1.

    Args:
        entry: mean and standard deviation of each channel.
        device: where the images are.
    """

    def __init__(self, entry: DatasetInfo, device: torch.device) -> None:
        self._mean_C = torch.tensor(entry.mean, device=device) * 255
        self._scale_C = 1 / (torch.tensor(entry.std, device=device) * 255)

    def __call__(self, images_BHWC: Tensor) -> Tensor:
        """Return a new tensor."""
        return (images_BHWC.float() - self._mean_C).mul_(self._scale_C).permute(0, 3, 1, 2)
