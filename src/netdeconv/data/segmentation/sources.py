"""Readers: where the images and masks of every data set are.

They find the files; :mod:`netdeconv.data.segmentation.pairs` decodes them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torchvision import datasets, tv_tensors

from netdeconv.data.decoding import load_image
from netdeconv.data.errors import MissingDataError, first_of, is_readable_folder
from netdeconv.data.reading import DATA_VARIABLE, resolve_data_dir
from netdeconv.data.segmentation.pairs import FileDecoder, Pair, PairError, Pairs
from netdeconv.data.segmentation.registry import IGNORE, SegmentationInfo, segmentation_info

# What COCO calls VOC's classes, where the names differ.
_COCO_NAMES = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}


def open_source(name: str, split: str, *, data_dir: str | None = None, download: bool = False) -> Pairs:
    """Find the pairs of one part of a data set; nothing is decoded yet.

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
        RuntimeError: when it needs a package that is not installed.
    """
    info = segmentation_info(name)
    root = resolve_data_dir(data_dir)
    is_readable_folder(root)
    return _READERS[info.reader](name, info, root, split, download)


def _missing(name: str, looked: Path, reason: str) -> MissingDataError:
    fetched = ", or allow the download with --download" if name == "voc" else "; it cannot be fetched with --download"
    return MissingDataError(
        f"data set {name!r} was not found in {looked.resolve()} ({' '.join(reason.split())}). "
        f"Name the folder that holds it with --data-dir or {DATA_VARIABLE}{fetched}"
    )


def _folder(name: str, info: SegmentationInfo, root: Path, marker: str, needed: Sequence[str]) -> Path:
    """The data set's folder, below the root or the root itself; what it needs must be there, and readable."""
    folder = root if not (root / info.folder).is_dir() and (root / marker).is_dir() else root / info.folder
    is_readable_folder(folder)
    for inside in needed:
        if not is_readable_folder(folder / inside):
            raise _missing(name, folder, f"there is no {inside}")
    return folder


def _camvid(name: str, info: SegmentationInfo, root: Path, split: str, download: bool) -> Pairs:
    del download
    folder = _folder(name, info, root, "trainannot", (split, f"{split}annot"))
    images, masks = folder / split, folder / f"{split}annot"
    found, drawn = ({file.name: file for file in sorted(part.glob("*.png"))} for part in (images, masks))
    if not found:
        raise _missing(name, folder, f"{images.name} holds no PNG files")
    _require_partners(images, masks, sorted(found.keys() - drawn.keys()), "mask")
    _require_partners(masks, images, sorted(drawn.keys() - found.keys()), "image")
    return _listed(name, info, folder, list(found.values()), [drawn[key] for key in found])


def _require_partners(folder: Path, other: Path, alone: list[str], partner: str) -> None:
    if alone:
        raise PairError(f"{len(alone)} file(s) of {folder} have no {partner} in {other}: {first_of(alone, 3)}")


def _cityscapes(name: str, info: SegmentationInfo, root: Path, split: str, download: bool) -> Pairs:
    del download
    folder = _folder(name, info, root, "leftImg8bit", (f"leftImg8bit/{split}", f"gtFine/{split}"))
    found = datasets.Cityscapes(str(folder), split=split, mode="fine", target_type="semantic")
    return _listed(name, info, folder, found.images, [targets[0] for targets in found.targets])


def _voc(name: str, info: SegmentationInfo, root: Path, split: str, download: bool) -> Pairs:
    is_readable_folder(root / "VOCdevkit" / "VOC2012")
    try:
        found = datasets.VOCSegmentation(str(root), year="2012", image_set=split, download=download)
    except UnicodeDecodeError as error:
        raise PairError(f"the list of {split} in {root / 'VOCdevkit'} is damaged ({error})") from error
    except (RuntimeError, OSError) as error:  # a download may fail in any way that a network can
        raise _missing(name, root, str(error)) from error
    return _listed(name, info, root, found.images, found.masks)


def _listed(name: str, info: SegmentationInfo, folder: Path, images: Sequence[Any], masks: Sequence[Any]) -> Pairs:
    """Pairs in the order of their names, which is the same on every machine."""
    pairs = sorted((Path(image), Path(mask)) for image, mask in zip(images, masks, strict=True))
    if not pairs:
        raise _missing(name, folder, "it holds no images")
    for kind, files in zip(("image", "mask"), zip(*pairs, strict=True), strict=True):
        absent = [str(file) for file in files if not file.is_file()]
        if absent:
            raise PairError(f"{len(absent)} {kind}(s) of {name!r} are missing, the first is {absent[0]}")
    return Pairs([image.stem for image, _ in pairs], pairs, FileDecoder(info.labels))


def _coco(name: str, info: SegmentationInfo, root: Path, split: str, download: bool) -> Pairs:
    """COCO's images with at least one instance of VOC's classes; needs pycocotools."""
    del download
    folder = _folder(name, info, root, "annotations", ("annotations",))
    annotations, images = folder / "annotations" / f"instances_{split}2017.json", folder / f"{split}2017"
    if not annotations.is_file():
        raise _missing(name, folder, f"there is no annotations/{annotations.name}")
    numbers = {_COCO_NAMES.get(each, each): number for number, each in enumerate(info.class_names) if number}
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints how long it took
            coco = datasets.CocoDetection(str(images), str(annotations)).coco
        ids = {record["name"]: identity for identity, record in coco.cats.items()}
        absent = [each for each in numbers if each not in ids]
        if absent:
            raise PairError(f"{annotations} has no category {', '.join(absent)}")
        chosen = sorted({image for each in numbers for image in coco.catToImgs.get(ids[each], [])})
        records = [coco.imgs[identity] for identity in chosen]
    except ModuleNotFoundError as error:
        raise RuntimeError(
            "data set 'coco' needs pycocotools, which is not installed: pip install pycocotools"
        ) from error
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise PairError(f"{annotations} is damaged, or no annotations of instances ({error!r})") from error
    missing = [record["file_name"] for record in records if not (images / record["file_name"]).is_file()]
    if missing or not records:
        raise PairError(
            f"{len(missing)} image(s) of {annotations} are missing in {images}, the first is {missing[0]}"
            if missing
            else f"{annotations} holds no instance of the classes"
        )
    names = [Path(record["file_name"]).stem for record in records]
    return Pairs(names, records, _CocoDecoder(coco, images, {ids[each]: number for each, number in numbers.items()}))


@dataclasses.dataclass(frozen=True)
class _CocoDecoder:
    """Draws an image's instances; pixels of several instances, and of crowds, are ignored."""

    coco: Any
    folder: Path
    classes: dict[int, int]

    def __call__(self, record: dict[str, Any]) -> Pair:
        image = load_image(self.folder / record["file_name"])
        size = (record["height"], record["width"])
        if tuple(image.shape[-2:]) != size:
            raise PairError(
                f"{self.folder / record['file_name']} is {image.shape[-1]}x{image.shape[-2]}, "
                f"and its annotations are for {size[1]}x{size[0]}"
            )
        mask_HW, covered_HW = torch.zeros(2, *size, dtype=torch.uint8)
        for annotation in self.coco.imgToAnns.get(record["id"], []):
            number = self.classes.get(annotation["category_id"])
            if number is not None:
                instance_HW = torch.from_numpy(self.coco.annToMask(annotation)).bool()
                mask_HW[instance_HW] = IGNORE if annotation.get("iscrowd") else number
                covered_HW += instance_HW
        mask_HW[covered_HW > 1] = IGNORE
        return image, tv_tensors.Mask(mask_HW)


_READERS: dict[str, Callable[[str, SegmentationInfo, Path, str, bool], Pairs]] = {
    "camvid": _camvid,
    "cityscapes": _cityscapes,
    "voc": _voc,
    "coco": _coco,
}
