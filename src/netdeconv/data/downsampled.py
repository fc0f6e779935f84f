"""Reader of downsampled ImageNet: pickled batches of a few gigabytes, as its makers give them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from netdeconv.data.errors import DataError, MissingDataError
from netdeconv.data.memory import RawImages
from netdeconv.data.registry import DatasetInfo

TRAIN_FILES = tuple(f"train_data_batch_{number}" for number in range(1, 11))
TEST_FILES = ("val_data",)
# All that an array needs to come back, under the names of old and new versions of NumPy.
_HARMLESS = {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")} | {
    (f"numpy.{core}.{name}", function)
    for core in ("core", "_core")
    for name, function in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
}


class _ArraysOnly(pickle.Unpickler):
    """Reads arrays and plain data, and runs nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _HARMLESS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, where only arrays are expected")
        return super().find_class(module, name)


def read_downsampled(root: Path, name: str, entry: DatasetInfo) -> tuple[RawImages, RawImages]:
    """Read ``imagenet16`` or ``imagenet32``: ten training files and one of validation images.

    While they are read, twice their size is needed.

    Args:
        root: folder with the files, or with ``Imagenet32_train`` and ``Imagenet32_val``, or with those in a folder.
        name: the set.
        entry: side and number of classes.

    Raises:
        MissingDataError: when files are missing.
        DataError: when a file holds something else.
    """
    return _join(root, name, entry, TRAIN_FILES), _join(root, name, entry, TEST_FILES)


def find_side(root: Path) -> int | None:
    """Return the height and width of the images whose files are in a folder; ``None`` when there are none.

    Raises:
        DataError: when there is a file, and it holds something else.
    """
    for folder in (*_folders(root, 16), *_folders(root, 32)):
        if (folder / TEST_FILES[0]).is_file():
            return round((_load(folder / TEST_FILES[0])["data"].shape[1] / 3) ** 0.5)
    return None


def _join(root: Path, name: str, entry: DatasetInfo, files: tuple[str, ...]) -> RawImages:
    folders = _folders(root, entry.shape[1], entry.folders)
    found = [next((folder / file for folder in folders if (folder / file).is_file()), None) for file in files]
    missing = [file for file, path in zip(files, found, strict=True) if path is None]
    if missing:
        raise MissingDataError(
            f"data set {name!r} was not found in {root.resolve()}: no {', '.join(missing)} there or in "
            f"{', '.join(str(folder.relative_to(root)) for folder in folders if folder != root)}; {entry.obtain}. "
            "Name the folder that holds it with --data-dir or NETDECONV_DATA"
        )
    parts = [_read(path, entry) for path in found if path is not None]
    return RawImages(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]))


def _folders(root: Path, side: int, below: tuple[str, ...] = ()) -> list[Path]:
    archives = (f"Imagenet{side}_train", f"Imagenet{side}_val")
    return [base / inner for base in (root, *(root / name for name in below)) for inner in ("", *archives)]


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            # Python 2 wrote its texts as bytes.
            content: dict[str, Any] = _ArraysOnly(file, encoding="latin1").load()
        rows = content["data"]
        if rows.dtype != np.uint8 or rows.ndim != 2 or len(rows) != len(content["labels"]):
            raise ValueError(f"its data are {rows.dtype}, {rows.shape}, with {len(content['labels'])} labels")
    except Exception as error:  # a damaged pickle raises anything
        reason = str(error) or type(error).__name__
        raise DataError(f"{path} is damaged, or no file of downsampled ImageNet: {reason}") from error
    return content


def _read(path: Path, entry: DatasetInfo) -> RawImages:
    content, side = _load(path), entry.shape[1]
    rows = content["data"]
    if rows.shape[1] != 3 * side * side:
        raise DataError(f"{path} holds rows of {rows.shape[1]} values, where 3 x {side} x {side} are expected")
    # Published labels begin at 1.
    labels = torch.as_tensor(np.asarray(content["labels"]), dtype=torch.int64) - 1
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < entry.num_classes:
        found = f"{int(labels.min()) + 1} to {int(labels.max()) + 1}"
        raise DataError(f"{path} has labels from {found}, where 1 to {entry.num_classes} are expected")
    images = torch.from_numpy(rows).reshape(-1, 3, side, side).permute(0, 2, 3, 1).contiguous()
    return RawImages(images, labels)
