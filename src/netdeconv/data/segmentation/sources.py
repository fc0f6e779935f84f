"""Readers: pairs of an image and a mask, decoded one at a time, every label checked.

Shape letters: C channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor
from torchvision import datasets, tv_tensors
from torchvision.transforms.v2 import functional

from netdeconv.data.errors import CorruptImageError, DataError, MissingDataError
from netdeconv.data.segmentation.registry import SegmentationInfo, segmentation_info
from netdeconv.data.sources import DATA_VARIABLE, resolve_data_dir

_UNKNOWN = 254
_SHOWN = 3


class PairError(DataError):
    """An image and a mask that do not fit each other or the data set; the message names the file."""


class PairSource(Protocol):
    """Images and masks by number."""

    def __len__(self) -> int:
        """Number of pairs."""

    def name(self, index: int) -> str:
        """What the pair is called in messages and file names."""

    def load(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        """Return an image uint8 (C, H, W) and its mask uint8 (H, W): numbers of classes, or 255."""


def load_image(path: Path) -> tv_tensors.Image:
    """Return an image file as uint8 (3, H, W).

    Raises:
        CorruptImageError: when the file is damaged or no image.
        FileNotFoundError: when there is none.
    """
    with _opened(path) as file:
        return tv_tensors.Image(functional.pil_to_tensor(file.convert("RGB")))


@dataclasses.dataclass(frozen=True)
class FilePairs:
    """Pairs of image files and mask files.

    Args:
        files: for every pair the image and the mask.
        info: the data set, whose labels the masks hold.
    """

    files: tuple[tuple[Path, Path], ...]
    info: SegmentationInfo

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.files)

    def name(self, index: int) -> str:
        """The image file's name without its ending."""
        return self.files[index][0].stem

    def load(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        """Decode one pair.

        Raises:
            CorruptImageError: when a file is damaged.
            PairError: when sizes differ, or the mask holds an unknown label.
        """
        image_file, mask_file = self.files[index]
        image = load_image(image_file)
        with _opened(mask_file) as file:
            if file.mode not in ("L", "P", "1"):
                raise PairError(f"{mask_file} is no mask: its mode is {file.mode}, not one channel of class ids")
            labels = np.array(file.convert("P") if file.mode == "1" else file, dtype=np.uint8)
        if labels.shape != tuple(image.shape[-2:]):
            sizes = (f"{width}x{height}" for height, width in (labels.shape, tuple(image.shape[-2:])))
            raise PairError("mask {0} is {2} and its image {1} is {3}".format(mask_file, image_file, *sizes))
        return image, tv_tensors.Mask(to_classes(torch.from_numpy(labels), self.info.labels, mask_file))


def to_classes(labels_HW: Tensor, table: Mapping[int, int], where: object) -> Tensor:
    """Return class numbers for the labels of a file.

    Args:
        labels_HW: uint8.
        table: from labels to classes.
        where: what holds the labels, for the message.

    Raises:
        PairError: when a label is not in the table, with all such labels.
    """
    lookup = torch.full((256,), _UNKNOWN, dtype=torch.uint8)
    for label, number in table.items():
        lookup[label] = number
    classes_HW = lookup[labels_HW.long()]
    unknown = labels_HW[classes_HW == _UNKNOWN]
    if len(unknown):
        ids = ", ".join(str(label) for label in unknown.unique().tolist())
        known = sorted(table)
        raise PairError(
            f"{where} holds label ids that the data set does not have: {ids} "
            f"(known: {known[0]} to {known[-1]}{'' if len(known) == known[-1] + 1 else ', with gaps'})"
        )
    return classes_HW


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[PillowImage.Image]:
    """A decoded image file, whose damage is reported with its name."""
    try:
        file = PillowImage.open(path)
        file.load()
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise CorruptImageError(f"{path} is damaged or no image ({error})") from error
    with file:
        yield file


def open_source(name: str, split: str, *, data_dir: str | None = None, download: bool = False) -> PairSource:
    """Find the pairs of one part of a data set; nothing is decoded yet.

    Args:
        name: a name of the registry.
        split: ``"train"``, ``"val"`` or ``"test"``.
        data_dir: folder of the data sets; ``None``: ``NETDECONV_DATA``, else ``data``.
        download: whether VOC may be fetched when it is not there.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such data set.
        MissingDataError: when it is not on this machine.
        PairError: when an image has no mask, or a mask no image.
        RuntimeError: when it needs a package that is not installed.
    """
    info = segmentation_info(name)
    root = resolve_data_dir(data_dir)
    return _READERS[info.reader](name, info, root, split, download)


def _missing(name: str, looked: Path, reason: str) -> MissingDataError:
    return MissingDataError(
        f"data set {name!r} was not found in {looked.resolve()} ({' '.join(reason.split())}). "
        f"Name the folder that holds it with --data-dir or {DATA_VARIABLE}"
    )


def _folder(info: SegmentationInfo, root: Path, inside: str) -> Path:
    """The data set's folder: below the root, or the root itself where that has its layout."""
    own = root / info.folder
    return root if not own.is_dir() and (root / inside).is_dir() else own


def _camvid(name: str, info: SegmentationInfo, root: Path, split: str, download: bool) -> PairSource:
    del download
    folder = _folder(info, root, "trainannot")
    images, masks = folder / split, folder / f"{split}annot"
    for needed in (images, masks):
        if not needed.is_dir():
            raise _missing(name, folder, f"there is no {needed.name}")
    found = [{file.name: file for file in sorted(part.glob("*.png"))} for part in (images, masks)]
    if not found[0]:
        raise _missing(name, folder, f"{images.name} holds no PNG files")
    _require_partners(images, masks, sorted(found[0].keys() - found[1].keys()), "mask")
    _require_partners(masks, images, sorted(found[1].keys() - found[0].keys()), "image")
    return FilePairs(tuple((file, found[1][key]) for key, file in found[0].items()), info)


def _require_partners(folder: Path, other: Path, alone: Sequence[str], partner: str) -> None:
    if alone:
        shown = ", ".join(alone[:_SHOWN]) + (", ..." if len(alone) > _SHOWN else "")
        raise PairError(f"{len(alone)} file(s) of {folder} have no {partner} in {other}: {shown}")


def _cityscapes(name: str, info: SegmentationInfo, root: Path, split: str, download: bool) -> PairSource:
    del download
    folder = _folder(info, root, "leftImg8bit")
    try:
        found = datasets.Cityscapes(str(folder), split=split, mode="fine", target_type="semantic")
    except (RuntimeError, FileNotFoundError) as error:
        raise _missing(name, folder, str(error)) from error
    return _listed(name, info, folder, found.images, [targets[0] for targets in found.targets])


def _voc(name: str, info: SegmentationInfo, root: Path, split: str, download: bool) -> PairSource:
    try:
        found = datasets.VOCSegmentation(str(root), year="2012", image_set=split, download=download)
    except (RuntimeError, FileNotFoundError) as error:
        raise _missing(name, root, str(error)) from error
    return _listed(name, info, root, found.images, found.masks)


def _listed(name: str, info: SegmentationInfo, folder: Path, images: Sequence[str], masks: Sequence[str]) -> PairSource:
    """Pairs that torchvision listed, in the order of their names, which is the same on every machine."""
    pairs = sorted((Path(image), Path(mask)) for image, mask in zip(images, masks, strict=True))
    if not pairs:
        raise _missing(name, folder, "it holds no images")
    for kind, files in (("image", [pair[0] for pair in pairs]), ("mask", [pair[1] for pair in pairs])):
        absent = [str(file) for file in files if not file.is_file()]
        if absent:
            raise PairError(f"{len(absent)} {kind}(s) of {name!r} are missing, the first is {absent[0]}")
    return FilePairs(tuple(pairs), info)


def _coco(name: str, info: SegmentationInfo, root: Path, split: str, download: bool) -> PairSource:
    del download
    from netdeconv.data.segmentation.coco import CocoPairs

    folder = _folder(info, root, "annotations")
    annotations = folder / "annotations" / f"instances_{split}2017.json"
    if not annotations.is_file():
        raise _missing(name, folder, f"there is no annotations/{annotations.name}")
    return CocoPairs.read(annotations, folder / f"{split}2017", info)


_READERS: dict[str, Callable[[str, SegmentationInfo, Path, str, bool], PairSource]] = {
    "camvid": _camvid,
    "cityscapes": _cityscapes,
    "voc": _voc,
    "coco": _coco,
}


@dataclasses.dataclass(frozen=True)
class Part:
    """Some pairs of a source."""

    source: PairSource
    indices: tuple[int, ...]

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.indices)

    def name(self, index: int) -> str:
        """The pair's name."""
        return self.source.name(self.indices[index])

    def load(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        """One pair."""
        return self.source.load(self.indices[index])


def cut(source: PairSource, size: int) -> tuple[Part, Part]:
    """Cut evenly spaced pairs from a source; what stays, and what was cut out.

    Raises:
        ValueError: when ``size`` is out of range.
    """
    count = len(source)
    if not 1 <= size < count:
        raise ValueError(f"cannot cut {size} images from {count}")
    taken = {(2 * number + 1) * count // (2 * size) for number in range(size)}
    return (
        Part(source, tuple(index for index in range(count) if index not in taken)),
        Part(source, tuple(sorted(taken))),
    )
