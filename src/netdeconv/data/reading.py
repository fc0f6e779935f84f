"""Readers: data sets of small images as uint8 images and int64 labels, whole, in memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from netdeconv.data.downsampled import read_downsampled
from netdeconv.data.errors import DataError, MissingDataError, is_readable_folder
from netdeconv.data.memory import RawImages
from netdeconv.data.registry import DatasetInfo, info

DATA_VARIABLE = "NETDECONV_DATA"
_DIGITS_TEST_SIZE = 500


def resolve_data_dir(data_dir: str | None) -> Path:
    """Return the folder of the data sets: the argument, else ``NETDECONV_DATA``, else ``data`` here."""
    return Path(data_dir or os.environ.get(DATA_VARIABLE) or "data").expanduser()


def read(
    name: str, *, data_dir: str | None = None, download: bool = False, verify: bool = True
) -> tuple[RawImages, RawImages]:
    """Read one data set.

    Args:
        name: a name of the registry.
        data_dir: folder with the data sets as torchvision lays them out.
        download: whether a data set that is not there may be fetched.
        verify: whether CIFAR's files must have their published md5 sums.

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
    if entry.reader == "batches":
        return read_downsampled(root, name, entry)
    kind = _published(name, verify=verify)
    train, test = (_read_torchvision(name, entry, kind, root, part, download=download) for part in ("train", "test"))
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
    from sklearn.datasets import load_digits

    digits = load_digits()
    images_NHW = torch.from_numpy(digits.images).float().mul(255 / 16)
    scaled = functional.interpolate(images_NHW[:, None], size=(32, 32), mode="bilinear", align_corners=False)
    raw = RawImages(
        scaled.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous(), torch.from_numpy(digits.target).long()
    )
    train, test = balanced_split(raw.labels, _DIGITS_TEST_SIZE, seed=0)
    return raw.part(train), raw.part(test)


def _published(name: str, *, verify: bool) -> Any:
    """Return torchvision's class of a data set, of CIFAR without sums where they are not to be compared."""
    from torchvision import datasets

    names = {"cifar10": "CIFAR10", "cifar100": "CIFAR100", "mnist": "MNIST", "fashion_mnist": "FashionMNIST"}
    published = getattr(datasets, names.get(name, name.upper()))
    if verify or not issubclass(published, datasets.CIFAR10):
        return published
    unchecked = {part: [[file, None] for file, _ in getattr(published, part)] for part in ("train_list", "test_list")}
    return type(published.__name__, (published,), {**unchecked, "meta": {**published.meta, "md5": None}})


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


def _read_torchvision(name: str, entry: DatasetInfo, kind: Any, root: Path, part: str, *, download: bool) -> RawImages:
    how: dict[str, Any] = {"split": part} if name in ("svhn", "stl10") else {"train": part == "train"}
    open_it: Callable[[bool], Any] = lambda fetch: kind(str(root), download=fetch, **how)  # noqa: E731
    try:
        dataset = open_it(False)
    except Exception as error:  # torchvision's readers raise whatever a damaged file leads them to
        if not download:
            raise _explained(name, root, kind, part, error) from error
        dataset = download_or_explain(name, root, lambda: open_it(True))
    labels = torch.as_tensor(np.asarray(getattr(dataset, "targets", getattr(dataset, "labels", None))))
    raw = RawImages(_as_nhwc(dataset.data), labels.long())
    side, last = entry.shape[1], int(raw.labels.max()) if len(raw.labels) else 0
    if raw.images.shape[1:] != (side, side, entry.shape[0]) or len(raw.images) != len(raw.labels):
        raise DataError(
            f"{name!r} in {root} is damaged: images {tuple(raw.images.shape)} with {len(raw.labels)} labels of {part}, "
            f"where N x {side} x {side} x {entry.shape[0]} with N labels are expected"
        )
    if last >= entry.num_classes or (len(raw.labels) and int(raw.labels.min()) < 0):
        raise DataError(f"{name!r} in {root} is damaged: label {last} of {part}, of {entry.num_classes} classes")
    return raw


def download_or_explain(name: str, root: Path, fetch: Callable[[], Any]) -> Any:
    """Return what is fetched.

    Raises:
        MissingDataError: when that fails, in any way that a network or a disk can.
    """
    try:
        return fetch()
    except Exception as error:
        raise MissingDataError(_how_to_get(name, root, f"the download failed: {error}")) from error


def _explained(name: str, root: Path, kind: Any, part: str, error: Exception) -> OSError:
    """Tell data that are absent from incomplete, unreadable and damaged ones, with the files."""
    from torchvision.datasets.utils import check_integrity

    own, files = _files(kind, root, part), [*_files(kind, root, "train"), *_files(kind, root, "test")]
    present = [path for path, _ in files if path.is_file()]
    if not present:
        is_readable_folder(files[0][0].parent)
        return MissingDataError(_how_to_get(name, root, str(error)))
    unreadable = [path for path in present if not os.access(path, os.R_OK)]
    if unreadable:
        return DataError(f"{unreadable[0]} may not be read by this user: its owner can allow it with chmod a+r")
    missing = [path for path, _ in files if path not in present]
    changed = [path for path, md5 in own if md5 and not check_integrity(str(path), md5)]
    reason = " ".join(str(error).split()) or type(error).__name__
    if missing:
        what = f"is incomplete: there is no {missing[0]}"
    elif changed:
        what = f"is damaged: {changed[0]} has not its published md5 sum"
    else:
        what = f"is damaged: {' or '.join(str(path) for path, _ in own)} cannot be read ({reason})"
    advice = "; re-encoded copies of CIFAR need --no-verify" if changed and name.startswith("cifar") else ""
    return DataError(
        f"data set {name!r} {what}. Copy it again, or delete the file and fetch it with --download{advice}"
    )


def _how_to_get(name: str, root: Path, reason: str) -> str:
    return (
        f"data set {name!r} was not found in {root.resolve()} ({' '.join(reason.split())}). "
        f"Name the folder that holds it with --data-dir or {DATA_VARIABLE}, or allow the download with --download"
    )


def _as_nhwc(data: Any) -> Tensor:
    images = data if isinstance(data, Tensor) else torch.from_numpy(np.ascontiguousarray(data))
    if images.ndim == 3:
        return images[..., None].contiguous()
    return images.permute(0, 2, 3, 1).contiguous() if images.shape[1] in (1, 3) else images.contiguous()
