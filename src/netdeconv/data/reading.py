"""Readers: data sets of small images as uint8 images and int64 labels, whole, in memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from netdeconv.data.errors import DataError, MissingDataError, is_readable_folder
from netdeconv.data.registry import DatasetInfo, info

DATA_VARIABLE = "NETDECONV_DATA"
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
    train, test = (_read_torchvision(name, entry, root, part, download=download) for part in ("train", "test"))
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


def _read_torchvision(name: str, entry: DatasetInfo, root: Path, part: str, *, download: bool) -> RawImages:
    kind = getattr(datasets, entry.published)
    how: dict[str, Any] = {"split": part} if name in ("svhn", "stl10") else {"train": part == "train"}
    try:
        dataset = kind(str(root), **how)
    except Exception as error:  # torchvision's readers raise whatever a damaged file leads them to
        if not download:
            raise _explained(name, root, kind, part, error) from error
        dataset = download_or_explain(name, root, lambda: kind(str(root), download=True, **how))
    labels = torch.as_tensor(np.asarray(getattr(dataset, "targets", getattr(dataset, "labels", None)))).long()
    images, side = _as_nhwc(dataset.data), entry.shape[1]
    if images.shape[1:] != (side, side, entry.shape[0]) or len(images) != len(labels):
        raise DataError(
            f"{name!r} in {root} is damaged: images {tuple(images.shape)} with {len(labels)} labels of {part}, "
            f"where N x {side} x {side} x {entry.shape[0]} with N labels are expected"
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < entry.num_classes:
        found = f"labels from {int(labels.min())} to {int(labels.max())}"
        raise DataError(f"{name!r} in {root} is damaged: {found} in {part}, of {entry.num_classes} classes")
    return RawImages(images, labels)


def _as_nhwc(data: Any) -> Tensor:
    images = torch.as_tensor(data)
    if images.ndim == 3:
        return images[..., None]
    return (images.permute(0, 2, 3, 1) if images.shape[1] in (1, 3) else images).contiguous()


def download_or_explain(name: str, root: Path, fetch: Callable[[], Any]) -> Any:
    """Return what is fetched.

    Raises:
        MissingDataError: when that fails, in any way that a network or a disk can.
    """
    try:
        return fetch()
    except Exception as error:
        raise missing(name, root, f"the download failed: {error}") from error


def missing(name: str, where: Path, reason: str, *, fetched: bool = True) -> MissingDataError:
    """Return the error for a data set that is not there, with how to get it."""
    download = ", or allow the download with --download" if fetched else "; it cannot be fetched with --download"
    return MissingDataError(
        f"data set {name!r} was not found in {where.resolve()} ({' '.join(reason.split())}). "
        f"Name the folder that holds it with --data-dir or {DATA_VARIABLE}{download}"
    )


def _explained(name: str, root: Path, kind: Any, part: str, error: Exception) -> OSError:
    """Tell data that are absent from incomplete, unreadable and damaged ones, with the files."""
    own, files = _files(kind, root, part), [*_files(kind, root, "train"), *_files(kind, root, "test")]
    present = [path for path, _ in files if path.is_file()]
    if not present:
        is_readable_folder(files[0][0].parent)
        return missing(name, root, str(error))
    unreadable = [path for path in present if not os.access(path, os.R_OK)]
    if unreadable:
        return DataError(f"{unreadable[0]} may not be read by this user: its owner can allow it with chmod a+r")
    absent = [path for path, _ in files if path not in present]
    changed = [path for path, md5 in own if md5 and not check_integrity(str(path), md5)]
    if absent:
        what = f"is incomplete: there is no {absent[0]}"
    elif changed:
        what = f"is damaged: {changed[0]} has not its published md5 sum"
    else:
        reason = " ".join(str(error).split()) or type(error).__name__
        what = f"is damaged: {' or '.join(str(path) for path, _ in own)} cannot be read ({reason})"
    return DataError(f"data set {name!r} {what}. Copy it again, or delete the file and fetch it with --download")


def _files(kind: Any, root: Path, part: str) -> list[tuple[Path, str | None]]:
    """The files of one part as torchvision lays them out, with their published md5 sums."""
    if hasattr(kind, "resources"):
        prefix = "train" if part == "train" else "t10k"
        folder = root / kind.__name__ / "raw"
        return [(folder / f"{prefix}-{what}-ubyte", None) for what in ("images-idx3", "labels-idx1")]
    if hasattr(kind, "split_list"):
        return [(root / kind.split_list[part][1], kind.split_list[part][2])]
    others = [[kind.meta["filename"], kind.meta["md5"]]] if hasattr(kind, "meta") else []
    return [(root / kind.base_folder / file, md5) for file, md5 in [*getattr(kind, f"{part}_list"), *others]]
