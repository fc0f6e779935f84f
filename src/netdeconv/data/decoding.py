"""From an image file to red, green and blue of 8 bits each.

Pillow decodes: it reads all formats of image folders, and torchvision 0.29 announces that its own decoders leave it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torchvision import tv_tensors

from netdeconv.data.errors import CorruptImageError


def load_image(path: str | Path) -> tv_tensors.Image:
    """Return an image uint8 (3, H, W): of an animation the first picture, without transparency.

    Raises:
        CorruptImageError: when it is absent, no image, not a whole one, or has values that are no colours.
    """
    with opened(path) as image:
        pixels = torch.from_numpy(_as_rgb(image))
    return tv_tensors.Image(pixels.permute(2, 0, 1))


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[Image.Image]:
    """A decoded image file as Pillow has it; every error inside is one that names the file.

    Raises:
        CorruptImageError: when it is absent, no image, or not a whole one.
    """
    try:
        if Path(path).stat().st_size == 0:
            raise ValueError("the file is empty")
        with Image.open(path) as image:
            image.load()
            yield image
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        raise CorruptImageError(f"{path} cannot be decoded ({reason})") from error


def _as_rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Red, green and blue; grey values of other than 8 bits are scaled, where Pillow would cut them off at 255."""
    if image.mode not in ("F", "I") and not image.mode.startswith("I;"):
        # Pillow warns of a palette with transparent colours, unless it becomes RGBA first.
        return np.array((image.convert("RGBA") if "transparency" in image.info else image).convert("RGB"))
    grey = np.array(image)
    # Decoded as 16 or 32 bits; the latter are how some files store 16.
    limit = 1 if image.mode == "F" else 65535
    if not np.isfinite(grey).all():
        raise ValueError("it holds NaN or infinity")
    if grey.min() < 0 or grey.max() > limit:
        raise ValueError(f"its values are from {grey.min():g} to {grey.max():g}, where 0 to {limit} are expected")
    scaled = np.round(grey.astype(np.float64) * (255 / limit)).astype(np.uint8)
    return np.repeat(scaled[..., None], 3, axis=2)
