"""Cut-out: a square of each training image is hidden.

Shape letters: B batch, H height, W width, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
        DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017.

    Example:
        >>> image = torch.ones(1, 1, 3, 3)
        >>> int(cut_out(image, 2, torch.tensor([0]), torch.tensor([1])).sum())
        7
    """
    height, width = images_BCHW.shape[2:]
    rows_BH = _covered(height, side, row_B)
    columns_BW = _covered(width, side, column_B)
    return images_BCHW.masked_fill_((rows_BH[:, :, None] & columns_BW[:, None, :])[:, None], 0)


def _covered(length: int, side: int, centre_B: Tensor) -> Tensor:
    first_B = centre_B[:, None] - side // 2
    position = torch.arange(length, device=centre_B.device)
    return (position >= first_B) & (position < first_B + side)
