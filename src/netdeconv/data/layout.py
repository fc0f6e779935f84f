"""Which form of ImageNet a folder holds: image files, or the pickled batches of the downsampled set."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from netdeconv.data.downsampled import find_side
from netdeconv.data.errors import MissingDataError
from netdeconv.data.folder import TRAIN, find_folder, list_classes
from netdeconv.data.registry import info


class Found(NamedTuple):
    """What was found.

    Args:
        dataset: a name of the registry.
        num_classes: of the class folders; ``None`` where the set has its own number.
    """

    dataset: str
    num_classes: int | None


def find_imagenet(data_dir: Path) -> Found:
    """Tell which form of ImageNet, or of a set laid out like it, a folder holds.

    Raises:
        MissingDataError: when it holds none.
        DataError: when files of the downsampled set are damaged.
    """
    try:
        root = find_folder(data_dir, "imagenet", info("imagenet"))
    except MissingDataError:
        side = find_side(data_dir) if data_dir.is_dir() else None
        if side is None:
            raise
        return Found(f"imagenet{side}", None)
    return Found("imagenet", len(list_classes(root, TRAIN)))
