"""From the bytes of an image file to a picture of the size a network takes.

Shape letters: C channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from netdeconv.data.entry import ResizedCrop

Transform = Callable[[Tensor], Tensor]


class UndecodableError(ValueError):
    """Bytes that are no image, or not a whole one."""


def read_bytes(path: str) -> Tensor:
    """Return the content of a file, uint8.

    Raises:
        UndecodableError: when it is empty or cannot be read.
    """
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise UndecodableError(error.strerror or str(error)) from error
    if not len(content):
        raise UndecodableError("the file is empty")
    return torch.from_numpy(content)


def decode(content: Tensor) -> Tensor:
    """Return an image in red, green and blue, uint8 (3, H, W), from the bytes of its file.

    What torchvision's decoder does not know (a few formats and colour spaces), Pillow may.

    Raises:
        UndecodableError: when neither can.
    """
    from torchvision.io import ImageReadMode, decode_image

    try:
        return decode_image(content, ImageReadMode.RGB)
    except RuntimeError:
        return _decode_with_pillow(content)


def _decode_with_pillow(content: Tensor) -> Tensor:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content.numpy().tobytes())) as image:
            pixels_HWC = np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "no known image format" if isinstance(error, UnidentifiedImageError) else str(error)
        raise UndecodableError(reason) from error
    return torch.from_numpy(pixels_HWC).permute(2, 0, 1)


def decode_on(device: torch.device, contents: Sequence[Tensor]) -> list[Tensor | UndecodableError]:
    """Decode several files where the network is: JPEG on a graphics card, the rest on the processor.

    A graphics card rounds differently from the processor, by a few values of 255.

    Returns:
        For each file the image on the device, or why there is none.
    """
    from torchvision.io import ImageReadMode, decode_jpeg

    if device.type == "cuda":
        # One call for all is fastest, and fails when one of them is no JPEG that the card can decode.
        with contextlib.suppress(RuntimeError):
            return list(decode_jpeg(list(contents), mode=ImageReadMode.RGB, device=device))
    return [_decode_one(device, content) for content in contents]


def _decode_one(device: torch.device, content: Tensor) -> Tensor | UndecodableError:
    from torchvision.io import ImageReadMode, decode_jpeg

    if device.type == "cuda":
        with contextlib.suppress(RuntimeError):
            return decode_jpeg(content, mode=ImageReadMode.RGB, device=device)
    try:
        return decode(content).to(device)
    except UndecodableError as error:
        return error


def training_transform(size: tuple[int, int], augmentation: ResizedCrop) -> Transform:
    """Return random crop, resizing and mirroring; they draw from torch's generator of the processor.

    Args:
        size: height and width of the result.
        augmentation: limits of the crop.
    """
    from torchvision.transforms import v2

    crop = v2.RandomResizedCrop(size, scale=augmentation.scale, ratio=augmentation.ratio, antialias=True)
    return v2.Compose([crop, v2.RandomHorizontalFlip()]) if augmentation.flip else crop


def evaluation_transform(size: tuple[int, int], resize: int) -> Transform:
    """Return resizing of the shorter side and a crop from the centre.

    Args:
        size: height and width of the result.
        resize: length of the shorter side before the crop.
    """
    from torchvision.transforms import v2

    return v2.Compose([v2.Resize(resize, antialias=True), v2.CenterCrop(size)])


@contextlib.contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Let torch's generator of the processor start at a seed, and put it back afterwards."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed the graphics cards too.
        torch.default_generator.manual_seed(seed)
        yield
