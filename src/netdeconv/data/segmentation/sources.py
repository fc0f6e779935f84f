"""Readers: where the images and masks of every data set are.

They find the files; :mod:`netdeconv.data.segmentation.pairs` decodes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torchvision import datasets

from netdeconv.data.errors import first_of, is_readable_folder
from netdeconv.data.reading import missing, resolve_data_dir
from netdeconv.data.registry import segmentation_info
from netdeconv.data.segmentation.pairs import PairError, Pairs


def open_source(name: str, split: str, *, data_dir: str | None = None, download: bool = False) -> Pairs:
    """Find the pairs of one part of a data set, in the order of their names; nothing is decoded yet.

    Args:
        name: a name of the registry.
        split: ``"train"``, ``"val"`` or ``"test"``.
        data_dir: folder of the data sets; ``None``: ``NETDECONV_DATA``, else ``data``.
        download: whether VOC may be fetched when it is not there.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when there is no such data set.
        MissingDataError: when it is not on this machine.
        DataError: when a folder may not be read.
        PairError: when an image has no mask, a mask no image, or a list of them is damaged.
    """
    info = segmentation_info(name)
    root = resolve_data_dir(data_dir)
    is_readable_folder(root)
    if info.reader == "voc":
        folder, images, masks = root, *_voc(name, root, split, download)
    else:
        marker = {"camvid": "trainannot", "cityscapes": "leftImg8bit"}[info.reader]
        below = root / info.folders[0]
        folder = root if not below.is_dir() and (root / marker).is_dir() else below
        images, masks = (_camvid if info.reader == "camvid" else _cityscapes)(name, folder, split)
    pairs = sorted((Path(image), Path(mask)) for image, mask in zip(images, masks, strict=True))
    if not pairs:
        raise missing(name, folder, "it holds no images", fetched=info.reader == "voc")
    for kind, files in zip(("image", "mask"), zip(*pairs, strict=True), strict=True):
        absent = [str(file) for file in files if not file.is_file()]
        if absent:
            raise PairError(f"{len(absent)} {kind}(s) of {name!r} are missing, the first is {absent[0]}")
    return Pairs(pairs, info.labels)


Found = tuple[Sequence[Any], Sequence[Any]]


def _require(name: str, folder: Path, *needed: str) -> None:
    """What a data set needs must be there, and readable."""
    is_readable_folder(folder)
    for inside in needed:
        if not is_readable_folder(folder / inside):
            raise missing(name, folder, f"there is no {inside}", fetched=False)


def _camvid(name: str, folder: Path, split: str) -> Found:
    images, masks = folder / split, folder / f"{split}annot"
    _require(name, folder, images.name, masks.name)
    found, drawn = ({file.name: file for file in part.glob("*.png")} for part in (images, masks))
    for here, there, alone in (
        (images, f"mask in {masks}", sorted(found.keys() - drawn.keys())),
        (masks, f"image in {images}", sorted(drawn.keys() - found.keys())),
    ):
        if alone:
            raise PairError(f"{len(alone)} file(s) of {here} have no {there}: {first_of(alone, 3)}")
    return list(found.values()), [drawn[key] for key in found]


def _cityscapes(name: str, folder: Path, split: str) -> Found:
    _require(name, folder, f"leftImg8bit/{split}", f"gtFine/{split}")
    found = datasets.Cityscapes(str(folder), split=split, mode="fine", target_type="semantic")
    return found.images, [targets[0] for targets in found.targets]


def _voc(name: str, root: Path, split: str, download: bool) -> Found:
    is_readable_folder(root / "VOCdevkit" / "VOC2012")
    try:
        found = datasets.VOCSegmentation(str(root), year="2012", image_set=split, download=download)
    except UnicodeDecodeError as error:
        raise PairError(f"the list of {split} in {root / 'VOCdevkit'} is damaged ({error})") from error
    except (RuntimeError, OSError) as error:  # a download may fail in any way that a network can
        raise missing(name, root, str(error)) from error
    return found.images, found.masks
