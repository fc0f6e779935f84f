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
from netdeconv.data.errors import MissingDataError
from netdeconv.data.raw import RawImages
from netdeconv.data.registry import info
from netdeconv.data.split import balanced_split
from netdeconv.lookup import look_up

__all__ = ["DATA_VARIABLE", "MissingDataError", "RawImages", "download_folder", "read", "resolve_data_dir"]

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
        DataError: when its files hold something else.
    """
    entry = info(name)
    if entry.reader == "digits":
        return _read_digits()
    if entry.reader == "folder":
        raise ValueError(f"{name!r} is read from its image files as they are needed, not into memory: see open_splits")
    root = resolve_data_dir(data_dir)
    if entry.reader == "batches":
        return read_downsampled(root, name, entry)
    settings = {"download": download, "verify": verify}
    return _read_torchvision(name, root, True, **settings), _read_torchvision(name, root, False, **settings)


def _read_digits() -> tuple[RawImages, RawImages]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images_NHW = torch.from_numpy(digits.images).float().mul(255 / 16)
    scaled = functional.interpolate(images_NHW[:, None], size=(32, 32), mode="bilinear", align_corners=False)
    images = scaled.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    labels = torch.from_numpy(digits.target).long()
    train, test = balanced_split(labels, _DIGITS_TEST_SIZE, seed=0)
    return RawImages(images[train], labels[train]), RawImages(images[test], labels[test])


def _cifar_class(name: str, *, verify: bool) -> Callable[..., Any]:
    import torchvision

    published = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}[name]
    if verify:
        return published
    unchecked = {
        attribute: [[file, None] for file, _ in getattr(published, attribute)]
        for attribute in ("train_list", "test_list")
    }
    meta = {**published.meta, "md5": None}
    return type(published.__name__, (published,), {**unchecked, "meta": meta})


def _opener(name: str, *, verify: bool) -> Callable[..., Any]:
    """Return the function (root, train, download) -> torchvision data set."""
    import torchvision

    sets = torchvision.datasets
    by_train_flag = {"mnist": sets.MNIST, "fashion_mnist": sets.FashionMNIST}
    by_split = {"svhn": sets.SVHN, "stl10": sets.STL10}
    if name in by_split:
        return lambda root, train, download: by_split[name](root, split="train" if train else "test", download=download)
    kind = by_train_flag[name] if name in by_train_flag else _cifar_class(name, verify=verify)
    return lambda root, train, download: kind(root, train=train, download=download)


def _read_torchvision(name: str, root: Path, train: bool, *, download: bool, verify: bool) -> RawImages:
    opener = _opener(name, verify=verify)
    try:
        dataset = opener(str(root), train, False)
    except (RuntimeError, FileNotFoundError) as absent:
        dataset = _download(name, root, train, opener) if download else None
        if dataset is None:
            raise MissingDataError(_how_to_get(name, root, str(absent))) from absent
    return RawImages(_as_nhwc(dataset.data), _labels_of(dataset))


def _download(name: str, root: Path, train: bool, opener: Callable[..., Any]) -> Any:
    try:
        return opener(str(root), train, True)
    except (RuntimeError, OSError) as failed:
        raise MissingDataError(_how_to_get(name, root, f"the download failed: {failed}")) from failed


def download_folder(name: str, root: Path) -> None:
    """Fetch a set of image files.

    Raises:
        MissingDataError: when that fails.
    """
    import torchvision

    published = {"imagenette": lambda: torchvision.datasets.Imagenette(str(root), size="160px", download=True)}
    try:
        look_up("data set to download", name, published)()
    except (RuntimeError, OSError) as failed:
        raise MissingDataError(_how_to_get(name, root, f"the download failed: {failed}")) from failed


def _how_to_get(name: str, root: Path, reason: str) -> str:
    lines = " ".join(reason.split())
    return (
        f"data set {name!r} was not found in {root.resolve()} ({lines}). "
        f"Name the folder that holds it with --data-dir or {DATA_VARIABLE}, "
        "or allow the download with --download"
        + ("; re-encoded copies of CIFAR need --no-verify." if name.startswith("cifar") else ".")
    )


def _as_nhwc(data: Any) -> Tensor:
    images = data if isinstance(data, Tensor) else torch.from_numpy(np.ascontiguousarray(data))
    if images.ndim == 3:
        return images[..., None].contiguous()
    return images.permute(0, 2, 3, 1).contiguous() if images.shape[1] in (1, 3) else images.contiguous()


def _labels_of(dataset: Any) -> Tensor:
    labels = dataset.targets if hasattr(dataset, "targets") else dataset.labels
    return torch.as_tensor(np.asarray(labels), dtype=torch.int64)
