"""Small folders of JPEG files, laid out as ImageNet is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("n01", "n02", "n03")


def write_image(path: Path, number: int, side: int = 40) -> None:
    """A picture that no other number has: a few smooth waves, in another shape and phase each."""
    rows, columns = np.mgrid[: side + number % 3, :side] / side
    waves = [np.sin(6 * rows + number), np.cos(5 * columns + 2 * number), np.sin(4 * (rows - columns) + 3 * number)]
    pixels = (127.5 + 127 * np.stack(waves, axis=-1)).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=95)


def write_part(folder: Path, each: int, classes: tuple[str, ...] = CLASSES, first: int = 0) -> None:
    """``each`` images of every class."""
    number = first
    for name in classes:
        (folder / name).mkdir(parents=True)
        for index in range(each):
            write_image(folder / name / f"{name}_{index}.JPEG", number)
            number += 1


def write_folder(root: Path, train: int = 8, val: int = 3) -> Path:
    """``train`` and ``val``, with so many images of every class."""
    write_part(root / "train", train)
    write_part(root / "val", val, first=1000)
    return root


def truncate(path: Path, keep: int = 300) -> Path:
    """Leave only the beginning of a file."""
    path.write_bytes(path.read_bytes()[:keep])
    return path
