"""From an image file to red, green and blue of 8 bits each.

Pillow decodes: it reads all formats of image folders, and torchvision 0.29 announces that its own decoders leave it.

Shape letters: C channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from netdeconv.data.errors import CorruptImageError


class Encoded(NamedTuple):
    """An image file's name and content."""

    path: str
    content: bytes


def read_file(path: str | Path) -> Encoded:
    """Return the content of a file.

    Raises:
        CorruptImageError: when it is empty or cannot be read.
    """
    with _named(path):
        content = Path(path).read_bytes()
        if not content:
            raise ValueError("the file is empty")
    return Encoded(str(path), content)


def decode(file: Encoded) -> Tensor:
    """Return a ``tv_tensors.Image`` uint8 (3, H, W): of an animation the first picture, without transparency.

    Raises:
        CorruptImageError: when it is no image, not a whole one, or has values that are no colours.
    """
    from torchvision import tv_tensors  # only when it is needed: importing torchvision takes a second

    with opened(file) as image, _named(file.path):
        pixels = torch.from_numpy(_as_rgb(image))
    return tv_tensors.Image(pixels.permute(2, 0, 1))


def load_image(path: str | Path) -> Tensor:
    """Read and decode an image file; arguments, result and errors as those of :func:`decode`."""
    return decode(read_file(path))


@contextlib.contextmanager
def opened(file: Encoded) -> Iterator[Image.Image]:
    """A decoded image file as Pillow has it.

    Raises:
        CorruptImageError: when it is no image, or not a whole one.
    """
    with _named(file.path):
        image = Image.open(io.BytesIO(file.content))
        image.load()
    with image:
        yield image


@contextlib.contextmanager
def _named(path: str | Path) -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError as error:
        raise CorruptImageError(f"{path} cannot be decoded (no image of a known format)", str(path)) from error
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        raise CorruptImageError(f"{path} cannot be decoded ({reason})", str(path)) from error


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


def decode_on(device: torch.device, files: Sequence[Encoded]) -> list[Tensor | CorruptImageError]:
    """Decode several files where the network is: JPEG on a graphics card, the rest on the processor.

    A graphics card rounds differently from the processor, by a few values of 255.

    Returns:
        For each file the image on the device, or why there is none.
    """
    if device.type == "cuda":
        from torchvision import tv_tensors
        from torchvision.io import ImageReadMode, decode_jpeg

        contents = [torch.frombuffer(bytearray(file.content), dtype=torch.uint8) for file in files]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                return list(map(tv_tensors.Image, decode_jpeg(contents, mode=ImageReadMode.RGB, device=device)))
        except RuntimeError:
            # One of them is no JPEG that the card can decode: one by one.
            if len(files) > 1:
                return [picture for file in files for picture in decode_on(device, [file])]
    results: list[Tensor | CorruptImageError] = []
    for file in files:
        try:
            results.append(decode(file).to(device))
        except CorruptImageError as error:
            results.append(error)
    return results
