"""Data sets of a few tiny images with masks, in the layouts that real ones have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from netdeconv.data.config import DataConfig, Views
from netdeconv.models import NormConfig
from netdeconv.tasks import Segmentation
from netdeconv.training.config import NetworkConfig, OptimizerConfig, TrainingConfig

HEIGHT, WIDTH = 24, 32
SIZES = {"train": 10, "val": 5, "test": 3}


def scene(number: int, labels: list[int], size: tuple[int, int] = (HEIGHT, WIDTH)) -> tuple[np.ndarray, np.ndarray]:
    """A mask of rectangles and an image in which every label has a colour of its own, with some noise."""
    generator = np.random.default_rng(number)
    mask = np.full(size, labels[0], dtype=np.uint8)
    for label in generator.permutation(labels[1:]):
        top, left = generator.integers(0, size[0] - 6), generator.integers(0, size[1] - 8)
        mask[top : top + 6, left : left + 8] = label
    image = mask.astype(np.int64)[..., None] * [17, 53, 101] % 256
    noise = generator.integers(0, 9, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), mask


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def camvid(root: Path, sizes: dict[str, int] = SIZES) -> Path:
    """``root/camvid``; the folder of the data sets is returned."""
    for offset, (split, count) in enumerate(sizes.items()):
        for number in range(count):
            image, mask = scene(100 * offset + number, [3, 0, 1, 8, 11])
            save(root / "camvid" / split / f"{split}_{number:02}.png", image)
            save(root / "camvid" / f"{split}annot" / f"{split}_{number:02}.png", mask)
    return root


def cityscapes(root: Path, folder: str = "cityscapes") -> Path:
    for offset, (split, count) in enumerate(SIZES.items()):
        for number in range(count):
            image, mask = scene(100 * offset + number, [7, 23, 11, 26, 0])
            # Two towns, so that the order of folders matters.
            town = ("ulm", "aachen")[number % 2]
            name = f"{town}_{number:06}_000019"
            save(root / folder / "leftImg8bit" / split / town / f"{name}_leftImg8bit.png", image)
            save(root / folder / "gtFine" / split / town / f"{name}_gtFine_labelIds.png", mask)
    return root


def small_segmentation(root: Path, path: Path, **changes: Any) -> TrainingConfig:
    """A narrow whitened FCN on tiny scenes; its frozen first layer is in both phases within an epoch."""
    norm = NormConfig(name="paper", group_size=8, freeze=(2, 5))
    settings: dict[str, Any] = {
        "task": Segmentation(views=Views(scale=(0.8, 1.3), crop=(24, 32))),
        "data": DataConfig(dataset="camvid", data_dir=str(camvid(root)), batch_size=4),
        "network": NetworkConfig(arch="fcn_resnet18", width=0.125, norm=norm),
        "optimizer": OptimizerConfig(lr=0.05, schedule="poly"),
        "epochs": 3,
        "recalibration": 2,
        "threads": 1,
        "precision": "32-true",
        "result_path": str(path),
    }
    return TrainingConfig(**{**settings, **changes})
