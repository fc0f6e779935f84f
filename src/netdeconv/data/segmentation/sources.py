"""Readers: where the images and masks of every data set are.

They find the files; :mod:`netdeconv.data.segmentation.pairs` decodes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torchvision import datasets

from netdeconv.data.errors import MissingDataError
from netdeconv.data.reading import DATA_VARIABLE, resolve_data_dir
from netdeconv.data.segmentation.pairs import FilePairs, PairError, PairSource
from netdeconv.data.segmentation.registry import SegmentationInfo, segmentation_info

_SHOWN = 3


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
    fetched = ", or allow the download with --download" if name == "voc" else "; it cannot be fetched with --download"
    return MissingDataError(
        f"data set {name!r} was not found in {looked.resolve()} ({' '.join(reason.split())}). "
        f"Name the folder that holds it with --data-dir or {DATA_VARIABLE}{fetched}"
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
    except (RuntimeError, OSError) as error:  # a download may fail in any way that a network can
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
