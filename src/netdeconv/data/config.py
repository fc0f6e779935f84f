"""Settings: which images, and how they come. Without torch, so that ``--help`` comes at once."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any

from tyro.conf import arg


def require_range(settings: Any, low: float, *names: str, below: float = math.inf) -> None:
    """Make sure that settings are numbers from ``low`` on and below a limit, or ``None``.

    Raises:
        ValueError: with the name and the value of one that is not.
    """
    for name in names:
        value = getattr(settings, name)
        if value is not None and not low <= value < below:
            limits = f"at least {low}" if below == math.inf else f"in [{low}, {below})"
            raise ValueError(f"{name} must be {limits}, got {value}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images, and how they come.

    Args:
        dataset: a name of the registry.
        data_dir: folder with the data sets; ``None``: ``NETDECONV_DATA``, else ``data``.
        download: whether an absent data set may be fetched.
        validation_size: images cut from the training images, every class in proportion, that the
            run is evaluated on instead of the test images; 0 evaluates on the test images.
        evaluation_size: evaluate on this many of the test or validation images only, every class in proportion;
            ``None`` for all.
        train_size: train on this many images only, every class in proportion; ``None`` for all.
        batch_size: images in a training batch, all processes together.
        augment: whether training images are randomly varied.
        max_batches: batches of an epoch, and of an evaluation, at most: for a first look. ``None`` for all.
        image_size: height and width that image files are brought to, at least 8; ``None`` for the registry's.
        num_workers: loader processes for image files, of this machine; they do not change the images.

    Raises:
        ValueError: when a number is out of range.
    """

    dataset: str = "digits"
    data_dir: str | None = None
    download: bool = False
    validation_size: int = 0
    evaluation_size: int | None = None
    train_size: int | None = None
    batch_size: Annotated[int, arg(aliases=("-b",))] = 128
    augment: bool = True
    max_batches: int | None = None
    image_size: int | None = None
    num_workers: Annotated[int, arg(aliases=("-j", "--workers"))] = 0

    def __post_init__(self) -> None:
        require_range(self, 0, "num_workers")
        require_range(self, 1, "batch_size", "max_batches")
        # Networks for image files halve their images five times: a pixel or two ends in NaN, or teaches them nothing.
        require_range(self, 8, "image_size")


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

    size: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
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
