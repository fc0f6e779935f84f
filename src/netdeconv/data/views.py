"""How images and masks are shown to a network. Without torch, so that ``--help`` comes at once."""

from __future__ import annotations

import dataclasses
import re
from typing import Annotated, Any

from tyro.constructors import PrimitiveConstructorSpec

from netdeconv.data.config import require_range


def _size(words: list[str]) -> tuple[int, int] | None:
    """Height and width from WIDTHxHEIGHT."""
    found = re.fullmatch(r"(\d+)[xX](\d+)|None", words[0])
    if found is None:
        raise ValueError(f"must be WIDTHxHEIGHT, as in 240x180, got {words[0]!r}")
    return (int(found[2]), int(found[1])) if found[1] else None


WIDTH_X_HEIGHT: PrimitiveConstructorSpec[Any] = PrimitiveConstructorSpec(
    nargs=1,
    metavar="WIDTHxHEIGHT",
    instance_from_str=_size,
    is_instance=lambda value: value is None or isinstance(value, tuple),
    str_from_instance=lambda size: [f"{size[1]}x{size[0]}" if size else "None"],
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Views:
    """How images and masks are shown to a network.

    Args:
        size: height and width that images and masks are brought to when they are read; ``None``: as they are.
        crop: height and width of a training image; ``None``: ``size``, else what is usual for the data set.
        scale: smallest and largest factor of the random scaling in training.
        flip: whether half of the training images are mirrored.
        evaluate_on: the part to evaluate on; ``None``: the data set's first, its validation images.
        evaluation_batch: images in a batch of the evaluation.

    Raises:
        ValueError: when a number is out of range.
    """

    size: Annotated[tuple[int, int] | None, WIDTH_X_HEIGHT] = None
    crop: Annotated[tuple[int, int] | None, WIDTH_X_HEIGHT] = None
    scale: tuple[float, float] = (0.5, 2.0)
    flip: bool = True
    evaluate_on: str | None = None
    evaluation_batch: int = 8

    def __post_init__(self) -> None:
        for name in ("size", "crop"):
            value = getattr(self, name)
            if value is not None and (len(value) != 2 or min(value) < 1):
                raise ValueError(f"{name} must be a height and a width of at least 1, got {value}")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale must be a smaller and a larger positive factor, got {self.scale}")
        require_range(self, 1, "evaluation_batch")
