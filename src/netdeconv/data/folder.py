"""Image files in folders, one for each class: finding them, checking them, cutting parts from them."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from netdeconv.data.entry import DatasetInfo
from netdeconv.data.errors import DataError, MissingDataError

TRAIN, VAL = "train", "val"
_SHOWN = 4


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Names and labels of image files.

    Args:
        root: folder of the class folders.
        classes: names of the class folders; a label is a place in this list.
        paths: below the root, as bytes: an array of a million names is shared by loader processes, where a
            list would be copied, as counting references writes into it.
        labels: int64 (N,).
    """

    root: Path
    classes: tuple[str, ...]
    paths: npt.NDArray[np.bytes_]
    labels: Tensor

    def __len__(self) -> int:
        """Files."""
        return len(self.paths)

    def path(self, index: int) -> str:
        """Return the whole path of one file."""
        return os.path.join(self.root, os.fsdecode(self.paths[index]))

    def part(self, index: Tensor | slice) -> ImageFiles:
        """Return some of the files."""
        chosen = index if isinstance(index, slice) else index.numpy()
        return dataclasses.replace(self, paths=self.paths[chosen], labels=self.labels[index])


def find_folder(data_dir: Path, name: str, entry: DatasetInfo) -> Path:
    """Return the folder with ``train`` in it: the given one, else one below it that the registry knows.

    Raises:
        MissingDataError: when there is none.
    """
    for folder in (data_dir, *(data_dir / below for below in entry.folders)):
        if (folder / TRAIN).is_dir():
            return folder
    if not data_dir.is_dir():
        raise MissingDataError(
            f"data set {name!r} was not found: there is no folder {data_dir.resolve()}{_advice(entry)}"
        )
    near = sorted(path.parent.name for path in data_dir.glob(f"*/{TRAIN}") if _folders_in(path))
    raise MissingDataError(
        f"data set {name!r} was not found in {data_dir.resolve()}: expected are {TRAIN}/CLASS/IMAGE and "
        f"{VAL}/CLASS/IMAGE"
        + (f"; {' and '.join(near[:_SHOWN])} in it {'has' if len(near) == 1 else 'have'} them" if near else "")
        + _advice(entry)
    )


def _folders_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as found:
        return sorted(entry.name for entry in found if entry.is_dir())


def _advice(entry: DatasetInfo) -> str:
    return (
        ". Name the folder that holds it: the PATH of `netdeconv imagenet`, --data-dir elsewhere, or NETDECONV_DATA"
        f"{f'; {entry.obtain}' if entry.obtain else ', or allow the download with --download'}"
    )


def list_classes(root: Path, part: str) -> tuple[str, ...]:
    """Return the names of the class folders of a part of a data set, in the order of their labels.

    Raises:
        MissingDataError: when there are none; the message says what is there instead.
    """
    folder = root / part
    if not folder.is_dir():
        raise MissingDataError(
            f"{root} has no folder {part}"
            + (f": evaluate on images cut from {TRAIN} with --validation-size" if part == VAL else "")
        )
    classes = _folders_in(folder)
    if not classes:
        raise MissingDataError(
            f"{folder} holds {len(os.listdir(folder))} files, and no folder for each class"
            + (
                ": sort its images into folders named as those of "
                f"{TRAIN}, or evaluate on images cut from {TRAIN} with --validation-size"
                if part == VAL
                else ""
            )
        )
    return tuple(classes)


def require_num_classes(root: Path, found: int, expected: int) -> None:
    """Compare the number of class folders with that of the network's outputs.

    Raises:
        ValueError: when they differ.
    """
    if found != expected:
        raise ValueError(
            f"{root} has {found} classes, where {expected} are expected: the network's head has an output for each. "
            "`netdeconv imagenet` takes the number from the folder, unless --num-classes gives one"
        )


def read_files(root: Path, part: str) -> ImageFiles:
    """List the images of a part of a data set, class by class, in the order of their names.

    Raises:
        MissingDataError: when there are no class folders.
        DataError: when a class folder has no image.
    """
    from torchvision.datasets import ImageFolder

    list_classes(root, part)
    try:
        files = ImageFolder(str(root / part))
    except FileNotFoundError as empty:
        raise DataError(f"{root / part}: {' '.join(str(empty).split())}") from empty
    start = len(str(root / part)) + 1
    return ImageFiles(
        root=root / part,
        classes=tuple(files.classes),
        paths=np.array([os.fsencode(path[start:]) for path, _ in files.samples]),
        labels=torch.tensor(files.targets, dtype=torch.int64),
    )


def require_same_classes(train: ImageFiles, val: ImageFiles) -> None:
    """Compare the class folders of two parts: a label must mean the same in both.

    Raises:
        DataError: when they differ, with the classes.
    """
    lacking = sorted({*train.classes} - {*val.classes})
    unknown = sorted({*val.classes} - {*train.classes})
    if lacking or unknown:
        parts = [
            f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
            for what, names in ((f"not in {val.root.name}", lacking), (f"not in {train.root.name}", unknown))
            if names
        ]
        raise DataError(f"{train.root} and {val.root} must have the same class folders, but {'; '.join(parts)}")
