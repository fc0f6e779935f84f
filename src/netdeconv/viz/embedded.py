"""Images that need no download: scikit-learn's two photographs, and a file of one's own.

Letters: C channels, H height, W width.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from netdeconv.data.decoding import load_image

_SMALLEST, _LARGEST = 8, 640


def photographs() -> dict[str, Tensor]:
    """Scikit-learn's photographs of a temple and a flower, float32 (3, H, W) in [0, 1], by name."""
    from sklearn.datasets import load_sample_image

    images = {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    return {name: torch.tensor(pixels).permute(2, 0, 1).contiguous() / 255 for name, pixels in images.items()}


def read_image(path: str | Path) -> Tensor:
    """An image file of any mode as float32 (3, H, W) in [0, 1]; large ones are made smaller.

    Raises:
        CorruptImageError: when it is absent, or no image that can be read.
        ValueError: when it is smaller than 8 pixels.
    """
    image = load_image(path).as_subclass(Tensor).float() / 255
    shrink = min(1.0, _LARGEST / max(image.shape[1:]))
    height, width = (round(side * shrink) for side in image.shape[1:])
    if min(height, width) < _SMALLEST:
        raise ValueError(f"{path} has {width} x {height} pixels: at least {_SMALLEST} x {_SMALLEST} are needed")
    return resize(image, [height, width], antialias=True)
