"""Settings: which images, and how they come."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from tyro.conf import arg

# Training on a pixel or two ends in NaN, or in a network that has learnt nothing.
SMALLEST_IMAGE = 8


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
        num_classes: classes that a folder of images must have; ``None`` for the registry's number.
        image_size: height and width that image files are brought to, at least 8; ``None`` for the registry's.
        resize: shorter side of image files before an evaluation's crop; ``None`` for the registry's, in
            proportion to ``image_size``.
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
    num_classes: int | None = None
    image_size: int | None = None
    resize: int | None = None
    num_workers: Annotated[int, arg(aliases=("-j", "--workers"))] = 0

    def __post_init__(self) -> None:
        least = {"cutout": 0, "num_workers": 0, "max_batches": 1, "num_classes": 1, "resize": 1}
        for name, limit in least.items():
            value = getattr(self, name)
            if value is not None and value < limit:
                raise ValueError(f"{name} must be at least {limit}, got {value}")
        if self.image_size is not None and self.image_size < SMALLEST_IMAGE:
            raise ValueError(
                f"image_size must be at least {SMALLEST_IMAGE}, got {self.image_size}: networks for image files halve "
                "their images five times"
            )
        if self.cutout and not self.augment:
            raise ValueError("cutout varies the training images, which augment=False forbids")
