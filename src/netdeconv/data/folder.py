"""Image files in folders, one for each class: finding and checking them; torchvision lists and reads them."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS, has_file_allowed_extension

from netdeconv.data.decoding import load_image
from netdeconv.data.errors import DataError, LeftOutWarning, MissingDataError, first_of, is_readable_folder
from netdeconv.data.registry import DatasetInfo, info

TRAIN, VAL = "train", "val"
_INSTEAD = f"evaluate on images cut from {TRAIN} with --validation-size"


def folder_classes(data_dir: Path) -> list[str]:
    """Return the names of the class folders of ImageNet, or of what is laid out like it.

    Raises:
        MissingDataError: when there are none.
        DataError: when a folder may not be read.
    """
    return _classes(find_folder(data_dir, "imagenet", info("imagenet")) / TRAIN)


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
    raise MissingDataError(
        f"data set {name!r} was not found in {data_dir.resolve()}: expected are {TRAIN}/CLASS/IMAGE and "
        f"{VAL}/CLASS/IMAGE{advice}"
    )


def _classes(folder: Path) -> list[str]:
    """The class folders of a part of a data set, each readable."""
    advice = f": sort its images into folders named as those of {TRAIN}, or {_INSTEAD}" if folder.name == VAL else ""
    if not is_readable_folder(folder):
        raise MissingDataError(f"{folder.parent} has no folder {folder.name}" + (f": {_INSTEAD}" if advice else ""))
    classes = sorted(each.name for each in os.scandir(folder) if each.is_dir())
    if not classes:
        raise MissingDataError(f"{folder} holds {len(os.listdir(folder))} files, and no folder for each class{advice}")
    for name in classes:
        is_readable_folder(folder / name)
    return classes


def read_files(folder: Path) -> ImageFolder:
    """List the images of a part of a data set, class by class, in the order of their names.

    Raises:
        MissingDataError: when there are no class folders.
        DataError: when a class folder has no image, or may not be read.
    """
    _classes(folder)
    others = list[str]()

    def is_image(path: str) -> bool:
        known: bool = has_file_allowed_extension(path, IMG_EXTENSIONS)
        if not known and not os.path.basename(path).startswith("."):
            others.append(os.path.relpath(path, folder))
        return known

    try:
        files = ImageFolder(str(folder), is_valid_file=is_image, loader=load_image)
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
    return files


def require_classes(train: ImageFolder, expected: int, val: ImageFolder | None) -> None:
    """Compare the class folders with the network's outputs, and with those of the validation images.

    Raises:
        ValueError: when there are more or fewer than the network has outputs.
        DataError: when those of the two parts differ, with the classes: a label must mean the same in both.
    """
    if len(train.classes) != expected:
        raise ValueError(
            f"{train.root} has {len(train.classes)} classes, where {expected} are expected: the network's head has an "
            "output for each. `netdeconv imagenet` takes the number from the folder, unless --num-classes gives one"
        )
    if val is not None and val.classes != train.classes:
        lost, new = sorted({*train.classes} - {*val.classes}), sorted({*val.classes} - {*train.classes})
        parts = [
            f"{len(names)} not in {part}: {first_of(names)}" for part, names in ((VAL, lost), (TRAIN, new)) if names
        ]
        raise DataError(f"{train.root} and {val.root} must have the same class folders, but {'; '.join(parts)}")
