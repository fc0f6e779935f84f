"""Images that need no download: scikit-learn's two photographs, and a file of one's own.

Letters: C channels, H height, W width.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

_SMALLEST, _LARGEST = 8, 640


class ImageError(ValueError):
    """A file that is no image that can be drawn."""


def photographs() -> dict[str, Tensor]:
    """Scikit-learn's photographs of a temple and a flower, float32 (3, H, W) in [0, 1], by name."""
    from sklearn.datasets import load_sample_image

    return {name: _tensor(load_sample_image(f"{name}.jpg")) for name in ("china", "flower")}


def photograph_crops(number: int, size: int) -> Tensor:
    """Square parts of the photographs, the same in every call, normalised: (number, 3, size, size)."""
    random = np.random.default_rng(0)
    whole = list(photographs().values())
    crops = []
    for index in range(number):
        photo = whole[index % len(whole)][:, ::2, ::2]
        top, left = (int(random.integers(0, length - size + 1)) for length in photo.shape[1:])
        crops.append(photo[:, top : top + size, left : left + size])
    batch = torch.stack(crops)
    return (batch - batch.mean((0, 2, 3), keepdim=True)) / batch.std((0, 2, 3), keepdim=True)


def read_image(path: str | Path) -> Tensor:
    """An image file of any mode as float32 (3, H, W) in [0, 1]; large ones are made smaller.

    Raises:
        ImageError: when it is no image, or smaller than 8 pixels.
        FileNotFoundError: when there is no such file.
    """
    try:
        with Image.open(path) as opened:
            image = opened.convert("I" if opened.mode.startswith("I;") else opened.mode)
    except UnidentifiedImageError as error:
        raise ImageError(f"{path} is not an image that can be read") from error
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ImageError(f"{path} cannot be read as an image ({error})") from error
    if min(image.size) < _SMALLEST:
        raise ImageError(
            f"{path} has {image.width} x {image.height} pixels: at least {_SMALLEST} x {_SMALLEST} are needed"
        )
    if image.mode in ("I", "F"):  # more than eight bits: by its own range
        values = np.asarray(image, dtype=np.float32)
        scaled = (values - values.min()) / max(float(values.max() - values.min()), 1e-12)
        image = Image.fromarray((255 * scaled).astype(np.uint8))
    if "A" in image.mode or "transparency" in image.info:  # what cannot be seen is white
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    image.thumbnail((_LARGEST, _LARGEST))
    if min(image.size) < _SMALLEST:
        raise ImageError(f"{path} is too narrow: made {_LARGEST} pixels long it is {min(image.size)} wide")
    return _tensor(np.asarray(image))


def _tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(pixels, dtype=np.float32) / 255).permute(2, 0, 1).contiguous()
