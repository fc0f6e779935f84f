"""Changes of whole batches, on the device that they are on.

Shape letters: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Colours(Protocol):
    """Mean and standard deviation of each channel, of images scaled to [0, 1]."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Of each channel."""

    @property
    def std(self) -> tuple[float, ...]:
        """Of each channel."""


class Normalise:
    """Turns uint8 images (B, C, H, W) into float32 of mean 0 and deviation 1, channels last in memory, on a device."""

    def __init__(self, colours: Colours, device: torch.device) -> None:
        self._device = device
        # Kept on the device: torchvision's function would copy them there for every batch.
        self._mean_C11 = (torch.tensor(colours.mean, device=device) * 255).view(-1, 1, 1)
        self._scale_C11 = (1 / (torch.tensor(colours.std, device=device) * 255)).view(-1, 1, 1)

    def __call__(self, images_BCHW: Tensor) -> Tensor:
        """Return a new tensor."""
        images = images_BCHW.to(self._device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        return images.float().sub_(self._mean_C11).mul_(self._scale_C11)


def crop_and_flip(images_BHWC: Tensor, padding: int, top_B: Tensor, left_B: Tensor, flip_B: Tensor) -> Tensor:
    """Pad each image with zeros, cut an image-sized window out of it, and mirror some.

    Args:
        images_BHWC: the images.
        padding: zero pixels on every side.
        top_B: first row of each window in the padded image.
        left_B: first column of each window in the padded image.
        flip_B: which windows are mirrored.
    """
    count, height, width = images_BHWC.shape[:3]
    padded = functional.pad(images_BHWC, (0, 0, padding, padding, padding, padding))
    device = images_BHWC.device
    rows_BH = top_B[:, None] + torch.arange(height, device=device)
    columns_BW = torch.arange(width, device=device).expand(count, width)
    columns_BW = left_B[:, None] + torch.where(flip_B[:, None], width - 1 - columns_BW, columns_BW)
    sample_B = torch.arange(count, device=device)
    return padded[sample_B[:, None, None], rows_BH[:, :, None], columns_BW[:, None, :]]


def cut_out(images_BCHW: Tensor, side: int, row_B: Tensor, column_B: Tensor) -> Tensor:
    """Set a square of each image to zero, the mean colour of normalised images.

    Args:
        images_BCHW: normalised images; changed in place.
        side: of the square.
        row_B: of each square's centre; what lies beyond the image's edges is cut off.
        column_B: likewise.

    Returns:
        The same tensor.

    Source:
        DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017. torchvision's
        RandomErasing draws one square for a whole batch.

    Example:
        >>> image = torch.ones(1, 1, 3, 3)
        >>> int(cut_out(image, 2, torch.tensor([0]), torch.tensor([1])).sum())
        7
    """
    hidden = []
    for length, centre_B in zip(images_BCHW.shape[2:], (row_B, column_B), strict=True):
        offset = torch.arange(length, device=centre_B.device) - (centre_B[:, None] - side // 2)
        hidden.append((offset >= 0) & (offset < side))
    return images_BCHW.masked_fill_((hidden[0][:, :, None] & hidden[1][:, None, :])[:, None], 0)
