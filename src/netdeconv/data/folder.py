"""Image files in folders, one for each class: finding and checking them; torchvision lists and reads them."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS, has_file_allowed_extension

from netdeconv.data.decoding import load_image
from netdeconv.data.errors import DataError, MissingDataError, first_of, is_readable_folder, missing
from netdeconv.data.registry import DatasetInfo

TRAIN, VAL = "train", "val"
_ADVICE = f"sort its images into folders named as those of {TRAIN}, or cut some from {TRAIN} with --validation-size"


def find_folder(data_dir: Path, name: str, entry: DatasetInfo) -> Path:
    """Return the folder with ``train`` in it: the given one, else one below it that the registry knows.

    Raises:
        MissingDataError: when there is none.
        DataError: when a folder may not be read.
    """
    for folder in (data_dir, *(data_dir / below for below in entry.folders)):
        if is_readable_folder(folder) and (folder / TRAIN).is_dir():
            return folder
    raise missing(name, data_dir, f"expected are {TRAIN}/CLASS/IMAGE and {VAL}/CLASS/IMAGE")


def read_files(folder: Path) -> ImageFolder:
    """List the images of a part of a data set, class by class, in the order of their names.

    Raises:
        MissingDataError: when there are no class folders.
        DataError: when a class folder has no image, or may not be read.
    """
    if not is_readable_folder(folder):
        raise MissingDataError(f"{folder.parent} has no folder {folder.name}: {_ADVICE}")
    if not [is_readable_folder(each) for each in folder.iterdir() if each.is_dir()]:
        raise MissingDataError(f"{folder} holds no folder for each class: {_ADVICE}")
    others = list[str]()

    def is_image(path: str) -> bool:
        known: bool = has_file_allowed_extension(path, IMG_EXTENSIONS)
        if not known and not os.path.basename(path).startswith("."):
            others.append(os.path.relpath(path, folder))
        return known

    try:
        files = ImageFolder(str(folder), is_valid_file=is_image, loader=load_image)
    except FileNotFoundError as empty:
        raise DataError(f"{folder}: {empty} Names of images end in {', '.join(IMG_EXTENSIONS)}") from empty
    if others:
        ends = f"their names do not end in {', '.join(IMG_EXTENSIONS)}"
        warnings.warn(f"{len(others)} files of {folder} are left out ({first_of(others)}): {ends}", stacklevel=2)
    return files


def require_same_classes(train: ImageFolder, val: ImageFolder) -> None:
    """Make sure that a label means the same in both parts.

    Raises:
        DataError: when their class folders differ, with some.
    """
    differing = sorted({*train.classes} ^ {*val.classes})
    if differing:
        raise DataError(
            f"{train.root} and {val.root} must have the same class folders, but only one has {first_of(differing)}"
        )
