"""Settings: which images, and how they come."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any

from tyro.conf import arg

# Networks for image files halve their images five times: a pixel or two ends in NaN, or teaches them nothing.
SMALLEST_IMAGE = 8


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
        cutout: side of a square that is hidden in every training image; 0 for none.
        max_batches: batches of an epoch, and of an evaluation, at most: for a first look. ``None`` for all.
        image_size: height and width that image files are brought to, at least 8; ``None`` for the registry's.
        num_workers: loader processes for image files, of this machine; they do not change the images.

    Raises:
        ValueError: when a number is out of range, or settings contradict each other.
    """

    dataset: str = "digits"
    data_dir: str | None = None
    download: bool = False
    validation_size: int = 0
    evaluation_size: int | None = None
    train_size: int | None = None
    batch_size: Annotated[int, arg(aliases=("-b",))] = 128
    augment: bool = True
    cutout: int = 0
    max_batches: int | None = None
    image_size: int | None = None
    num_workers: Annotated[int, arg(aliases=("-j", "--workers"))] = 0

    def __post_init__(self) -> None:
        require_range(self, 0, "cutout", "num_workers")
        require_range(self, 1, "max_batches")
        require_range(self, SMALLEST_IMAGE, "image_size")
        if self.cutout and not self.augment:
            raise ValueError("cutout varies the training images, which augment=False forbids")
