"""Image files in folders, one for each class: finding them, checking them, cutting parts from them."""

from __future__ import annotations

import dataclasses
import os
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from netdeconv.data.decoding import Encoded, load_image, read_file
from netdeconv.data.downsampled import find_side
from netdeconv.data.errors import DataError, LeftOutWarning, MissingDataError, first_of, is_readable_folder
from netdeconv.data.registry import DatasetInfo, info

TRAIN, VAL = "train", "val"
_INSTEAD = f"evaluate on images cut from {TRAIN} with --validation-size"


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

    def part(self, index: Tensor) -> ImageFiles:
        """Return some of the files."""
        return dataclasses.replace(self, paths=self.paths[index.numpy()], labels=self.labels[index])

    def read(self, index: int) -> tuple[Encoded, Tensor]:
        """Return one file's content and its label."""
        return read_file(self.path(index)), self.labels[index]

    def load(self, index: int) -> tuple[Tensor, Tensor]:
        """Return one image uint8 (3, H, W) and its label."""
        return load_image(self.path(index)), self.labels[index]


class Found(NamedTuple):
    """Which form of ImageNet was found.

    Args:
        dataset: a name of the registry.
        num_classes: of the class folders; ``None`` where the set has its own number.
    """

    dataset: str
    num_classes: int | None


def find_imagenet(data_dir: Path) -> Found:
    """Tell which form of ImageNet a folder holds: image files, or pickled batches of the downsampled set.

    Raises:
        MissingDataError: when it holds none.
        DataError: when files of the downsampled set are damaged, or the folder may not be read.
    """
    try:
        root = find_folder(data_dir, "imagenet", info("imagenet"))
    except MissingDataError:
        side = find_side(data_dir) if data_dir.is_dir() else None
        if side is None:
            raise
        return Found(f"imagenet{side}", None)
    return Found("imagenet", len(list_classes(root, TRAIN)))


def find_folder(data_dir: Path, name: str, entry: DatasetInfo) -> Path:
    """Return the folder with ``train`` in it: the given one, else one below it that the registry knows.

    Raises:
        MissingDataError: when there is none.
        DataError: when a folder may not be read.
    """
    advice = (
        ". Name the folder that holds it: the PATH of `netdeconv imagenet`, --data-dir elsewhere, or NETDECONV_DATA"
        f"{f'; {entry.obtain}' if entry.obtain else ', or allow the download with --download'}"
    )
    if not is_readable_folder(data_dir):
        raise MissingDataError(f"data set {name!r} was not found: there is no folder {data_dir.resolve()}{advice}")
    for folder in (data_dir, *(data_dir / below for below in entry.folders)):
        if is_readable_folder(folder) and (folder / TRAIN).is_dir():
            return folder
    near = sorted(path.parent.name for path in data_dir.glob(f"*/{TRAIN}") if _folders_in(path))
    raise MissingDataError(
        f"data set {name!r} was not found in {data_dir.resolve()}: expected are {TRAIN}/CLASS/IMAGE and "
        f"{VAL}/CLASS/IMAGE"
        + (f"; {' and '.join(near[:4])} in it {'has' if len(near) == 1 else 'have'} them" if near else "")
        + advice
    )


def _folders_in(folder: Path) -> list[str]:
    if not is_readable_folder(folder):
        return []
    with os.scandir(folder) as found:
        return sorted(entry.name for entry in found if entry.is_dir())


def list_classes(root: Path, part: str) -> tuple[str, ...]:
    """Return the names of the class folders of a part of a data set, in the order of their labels.

    Raises:
        MissingDataError: when there are none; the message says what is there instead.
        DataError: when a folder may not be read.
    """
    folder = root / part
    if not is_readable_folder(folder):
        raise MissingDataError(f"{root} has no folder {part}" + (f": {_INSTEAD}" if part == VAL else ""))
    classes = _folders_in(folder)
    if not classes:
        advice = f": sort its images into folders named as those of {TRAIN}, or {_INSTEAD}" if part == VAL else ""
        raise MissingDataError(f"{folder} holds {len(os.listdir(folder))} files, and no folder for each class{advice}")
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
        DataError: when a class folder has no image, or may not be read.
    """
    from torchvision.datasets.folder import IMG_EXTENSIONS, ImageFolder, has_file_allowed_extension

    folder, others = root / part, list[str]()
    for name in list_classes(root, part):
        is_readable_folder(folder / name)

    def is_image(path: str) -> bool:
        known: bool = has_file_allowed_extension(path, IMG_EXTENSIONS)
        if not known and not os.path.basename(path).startswith("."):
            others.append(os.path.relpath(path, folder))
        return known

    try:
        files = ImageFolder(str(folder), is_valid_file=is_image)
    except FileNotFoundError as empty:
        reason = f"{' '.join(str(empty).split())} Names of images end in {', '.join(IMG_EXTENSIONS)}"
        raise DataError(f"{folder}: {reason}" + (f", unlike {first_of(others)}" if others else "")) from empty
    if others:
        ends = f"their names do not end in {', '.join(IMG_EXTENSIONS)}"
        warnings.warn(
            f"files of {folder} are left out, as {ends}: {len(others)} ({first_of(others)})",
            LeftOutWarning,
            stacklevel=2,
        )
    start = len(str(folder)) + 1
    return ImageFiles(
        root=folder,
        classes=tuple(files.classes),
        paths=np.array([os.fsencode(path[start:]) for path, _ in files.samples]),
        labels=torch.tensor(files.targets, dtype=torch.int64),
    )


def require_same_classes(train: ImageFiles, val: ImageFiles) -> None:
    """Compare the class folders of two parts: a label must mean the same in both.

    Raises:
        DataError: when they differ, with the classes.
    """
    differing = (
        (f"not in {val.root.name}", sorted({*train.classes} - {*val.classes})),
        (f"not in {train.root.name}", sorted({*val.classes} - {*train.classes})),
    )
    parts = [f"{len(names)} {what}: {first_of(names)}" for what, names in differing if names]
    if parts:
        raise DataError(f"{train.root} and {val.root} must have the same class folders, but {'; '.join(parts)}")
