"""From the bytes of an image file to a picture of the size a network takes.

Shape letters: C channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import io
import warnings
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

    Raises:
        UndecodableError: when they are no image, or not a whole one.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content.numpy().tobytes())) as image:
            pixels_HWC = np.array(image.convert("RGB"))
    except UnidentifiedImageError as error:
        raise UndecodableError("no image of a known format") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UndecodableError(str(error)) from error
    return torch.from_numpy(pixels_HWC).permute(2, 0, 1)


def decode_on(device: torch.device, contents: Sequence[Tensor]) -> list[Tensor | UndecodableError]:
    """Decode several files where the network is: JPEG on a graphics card, the rest on the processor.

    A graphics card rounds differently from the processor, by a few values of 255.

    Returns:
        For each file the image on the device, or why there is none.
    """
    # One call for all is fastest, and fails when one of them is no JPEG that the card can decode.
    on_card = _decode_on_card(device, contents)
    if on_card is not None:
        return list(on_card)
    return [_decode_one(device, content) for content in contents]


def _decode_one(device: torch.device, content: Tensor) -> Tensor | UndecodableError:
    on_card = _decode_on_card(device, [content])
    if on_card is not None:
        return on_card[0]
    try:
        return decode(content).to(device)
    except UndecodableError as error:
        return error


def _decode_on_card(device: torch.device, contents: Sequence[Tensor]) -> list[Tensor] | None:
    """Images decoded by a graphics card; ``None`` when there is none, or it cannot decode one of them."""
    if device.type != "cuda":
        return None
    from torchvision.io import ImageReadMode, decode_jpeg

    with warnings.catch_warnings():
        # torchvision 0.29 announces that its decoders will move to another package.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return decode_jpeg(list(contents), mode=ImageReadMode.RGB, device=device)
        except RuntimeError:
            return None


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
