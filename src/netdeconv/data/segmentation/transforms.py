"""Joint changes of an image and its mask, through torchvision's transforms of typed tensors.

Shape letters: C channels, H height, W width.
"""

from __future__ import annotations

import dataclasses

import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from netdeconv.data.segmentation.pairs import PairError
from netdeconv.data.segmentation.registry import IGNORE

Pair = tuple[tv_tensors.Image, tv_tensors.Mask]


def resize(pair: Pair, size: tuple[int, int]) -> Pair:
    """Bring both to a height and a width: the image bilinear with antialiasing, the mask by nearest neighbours."""
    image, mask = pair
    if tuple(image.shape[-2:]) == size:
        return pair
    return functional.resize(image, list(size), antialias=True), functional.resize(mask, list(size))


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomView:
    """A random part of a pair: scaled, cut out, mirrored.

    Args:
        crop: height and width of the result.
        scale: smallest and largest factor on both sides; one is drawn, uniformly.
        flip: whether half of the pairs are mirrored.
        pad: whether pairs smaller than the crop are padded; else they are refused. What scaling makes smaller is
            always padded, the image with ``fill``, the mask with the ignored label.
        fill: for the channels of the padding.
    """

    crop: tuple[int, int]
    scale: tuple[float, float]
    flip: bool
    pad: bool
    fill: tuple[float, ...]

    def __call__(self, pair: Pair, generator: torch.Generator, name: str = "an image") -> Pair:
        """Return the part that the generator chooses.

        Raises:
            PairError: when the pair is smaller than the crop, and is not to be padded.
        """
        image, mask = pair
        height, width = image.shape[-2:]
        if not self.pad and (height < self.crop[0] or width < self.crop[1]):
            raise PairError(
                f"{name} is {width}x{height}, smaller than the crop of {self.crop[1]}x{self.crop[0]}: "
                "choose a smaller one"
            )
        scale, down, right, mirror = torch.rand(4, generator=generator).tolist()
        factor = self.scale[0] + (self.scale[1] - self.scale[0]) * scale
        image, mask = resize((image, mask), (max(1, round(height * factor)), max(1, round(width * factor))))
        image, mask = self._padded((image, mask))
        top, left = (
            int(fraction * (have - want + 1))
            for fraction, have, want in zip((down, right), image.shape[-2:], self.crop, strict=True)
        )
        image, mask = (functional.crop(each, top, left, *self.crop) for each in (image, mask))
        if self.flip and mirror < 0.5:
            image, mask = (functional.horizontal_flip(each) for each in (image, mask))
        return image, mask

    def _padded(self, pair: Pair) -> Pair:
        """Pad to at least the crop, half on either side."""
        image, mask = pair
        lacking = [max(0, want - have) for want, have in zip(self.crop, image.shape[-2:], strict=True)]
        if not any(lacking):
            return pair
        (top, left), (bottom, right) = [each // 2 for each in lacking], [each - each // 2 for each in lacking]
        sides = [left, top, right, bottom]
        return functional.pad(image, sides, fill=list(self.fill)), functional.pad(mask, sides, fill=IGNORE)
