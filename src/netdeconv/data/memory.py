"""Data sets of small images: read as uint8 images and int64 labels, whole, into memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from netdeconv.data.errors import DATA_VARIABLE, DataError, is_readable_folder, missing
from netdeconv.data.registry import DatasetInfo, info

_DIGITS_TEST_SIZE = 500


class RawImages(NamedTuple):
    """A data set as it is read: images uint8 (N, H, W, C) and labels int64 (N,)."""

    images: Tensor
    labels: Tensor


def resolve_data_dir(data_dir: str | None) -> Path:
    """Return the folder of the data sets: the argument, else ``NETDECONV_DATA``, else ``data`` here."""
    return Path(data_dir or os.environ.get(DATA_VARIABLE) or "data").expanduser()


def read(name: str, *, data_dir: str | None = None, download: bool = False) -> tuple[RawImages, RawImages]:
    """Read one data set.

    Args:
        name: a name of the registry.
        data_dir: folder with the data sets as torchvision lays them out.
        download: whether a data set that is not there may be fetched.

    Returns:
        The training and the test images.

    Raises:
        UnknownNameError: when there is no such data set.
        ValueError: when it is not one that is held in memory.
        MissingDataError: when it is not there, and is not to be or cannot be downloaded.
        DataError: when its files are damaged, hold something else or may not be read.
    """
    entry = info(name)
    if entry.reader == "digits":
        return _read_digits()
    if entry.reader == "folder":
        raise ValueError(f"{name!r} is read from its image files as they are needed, not into memory: see open_splits")
    root = resolve_data_dir(data_dir)
    is_readable_folder(root)
    train, test = (_read_part(name, entry, root, train, download) for train in (True, False))
    return train, test


def balanced_split(labels: Tensor, size: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Choose ``size`` of the samples so that every class keeps its share.

    It cuts fewer samples than there are classes, too, which scikit-learn's ``train_test_split`` refuses.

    Args:
        labels: class numbers, (N,).
        size: samples to cut out, at least 1 and fewer than all.
        seed: which ones.

    Returns:
        Indices that stay and indices cut out, each in ascending order.

    Raises:
        ValueError: when ``size`` is out of range.
    """
    if not 1 <= size < len(labels):
        raise ValueError(f"cannot cut {size} samples from {len(labels)}")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    shuffled = labels.cpu()[order]
    # A sample's place within its class, as a fraction: the smallest fractions of every class are cut out.
    rank = torch.empty(len(labels), dtype=torch.float64)
    for label in shuffled.unique():
        members = (shuffled == label).nonzero().squeeze(1)
        rank[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    by_rank = order[rank.argsort(stable=True)]
    return by_rank[size:].sort().values, by_rank[:size].sort().values


def _read_digits() -> tuple[RawImages, RawImages]:
    from sklearn.datasets import load_digits  # only when it is needed: importing it takes a second

    digits = load_digits()
    images_NHW = torch.from_numpy(digits.images).float().mul(255 / 16)
    scaled = functional.interpolate(images_NHW[:, None], size=(32, 32), mode="bilinear", align_corners=False)
    images, labels = scaled.round().to(torch.uint8).permute(0, 2, 3, 1), torch.from_numpy(digits.target).long()
    train, test = balanced_split(labels, _DIGITS_TEST_SIZE, seed=0)
    return RawImages(images[train], labels[train]), RawImages(images[test], labels[test])


def _read_part(name: str, entry: DatasetInfo, root: Path, train: bool, download: bool) -> RawImages:
    kind = getattr(datasets, entry.reader)
    try:
        dataset = kind(str(root), train=train, download=download)
    except Exception as error:  # torchvision's readers raise whatever a network or a damaged file leads them to
        raise _explained(name, root, kind, train, error) from error
    images, labels = torch.as_tensor(dataset.data), torch.as_tensor(dataset.targets)
    images = images[..., None] if images.ndim == 3 else images
    channels, height, width = entry.shape
    fits = images.shape[1:] == (height, width, channels) and len(images) == len(labels)
    if not fits or (len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < entry.num_classes):
        part = "train" if train else "test"
        raise DataError(
            f"data set {name!r} in {root} is damaged: {part} has images {tuple(images.shape)} and {len(labels)} labels "
            f"{labels.unique().tolist()}, where N x {height} x {width} x {channels} and N below {entry.num_classes} "
            "are expected"
        )
    return RawImages(images, labels)


def _explained(name: str, root: Path, kind: Any, train: bool, error: Exception) -> OSError:
    """Tell data that are absent from unreadable and damaged ones, with the files."""
    own, files = _files(kind, root, train), {**_files(kind, root, True), **_files(kind, root, False)}
    reason = " ".join(str(error).split()) or type(error).__name__
    if not any(path.is_file() for path in files):
        is_readable_folder(next(iter(files)).parent)
        return missing(name, root, reason, fetched=True)
    for path in files:
        if path.is_file() and not os.access(path, os.R_OK):
            return DataError(f"{path} may not be read by this user: its owner can allow it with chmod a+r")
    bad = [str(path) for path, md5 in files.items() if not check_integrity(str(path), md5)] or map(str, own)
    return DataError(
        f"data set {name!r} is damaged: {' or '.join(bad)} is absent or not as published ({reason}). Copy it again, or "
        "delete the file and fetch it with --download"
    )


def _files(kind: Any, root: Path, train: bool) -> dict[Path, str | None]:
    """The files of one part as torchvision lays them out, with their published md5 sums."""
    if issubclass(kind, datasets.MNIST):
        stem = root / kind.__name__ / "raw" / ("train" if train else "t10k")
        return {stem.with_name(f"{stem.name}-{what}-ubyte"): None for what in ("images-idx3", "labels-idx1")}
    published = [*(kind.train_list if train else kind.test_list), [kind.meta["filename"], kind.meta["md5"]]]
    return {root / kind.base_folder / file: md5 for file, md5 in published}
