"""COCO's instances as masks of VOC's 21 classes; needs pycocotools.

Shape letters: H height, W width.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors

from netdeconv.data.segmentation.pairs import PairError, load_image
from netdeconv.data.segmentation.registry import IGNORE, SegmentationInfo

# What COCO calls VOC's classes, where the names differ.
_COCO_NAMES = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}


@dataclasses.dataclass(frozen=True)
class CocoPairs:
    """Images with at least one instance of the classes.

    Args:
        coco: the annotations, as pycocotools reads them.
        folder: of the images.
        images: the images' records, in the order of their ids.
        classes: from COCO's category ids to class numbers.
    """

    coco: Any = dataclasses.field(repr=False)
    folder: Path
    images: tuple[dict[str, Any], ...]
    classes: dict[int, int]

    @classmethod
    def read(cls, annotations: Path, folder: Path, info: SegmentationInfo) -> CocoPairs:
        """Read the annotations of one part.

        Raises:
            RuntimeError: when pycocotools is not installed.
            PairError: when the annotations lack a class, or an image of theirs is missing.
        """
        try:
            module = importlib.import_module("pycocotools.coco")
        except ModuleNotFoundError as error:
            raise RuntimeError(
                "data set 'coco' needs pycocotools, which is not installed: pip install pycocotools"
            ) from error
        with contextlib.redirect_stdout(io.StringIO()):  # it prints how long it took
            coco = module.COCO(str(annotations))
        numbers = {_COCO_NAMES.get(name, name): number for number, name in enumerate(info.class_names) if number}
        ids = {record["name"]: identity for identity, record in coco.cats.items()}
        absent = [name for name in numbers if name not in ids]
        if absent:
            raise PairError(f"{annotations} has no category {', '.join(absent)}")
        classes = {ids[name]: number for name, number in numbers.items()}
        chosen = sorted({image for category in classes for image in coco.catToImgs.get(category, [])})
        images = tuple(coco.imgs[identity] for identity in chosen)
        missing = [record["file_name"] for record in images if not (folder / record["file_name"]).is_file()]
        if missing or not images:
            raise PairError(
                f"{len(missing)} image(s) of {annotations} are missing in {folder}, the first is {missing[0]}"
                if missing
                else f"{annotations} holds no instance of the classes"
            )
        return cls(coco, folder, images, classes)

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.images)

    def name(self, index: int) -> str:
        """The image file's name without its ending."""
        return Path(self.images[index]["file_name"]).stem

    def load(self, index: int) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        """Decode an image and draw its instances; pixels of several instances, and of crowds, are ignored.

        Raises:
            PairError: when the image is damaged, or not as large as the annotations say.
        """
        record = self.images[index]
        image = load_image(self.folder / record["file_name"])
        expected = (record["height"], record["width"])
        if tuple(image.shape[-2:]) != expected:
            raise PairError(
                f"{self.folder / record['file_name']} is {image.shape[-1]}x{image.shape[-2]}, "
                f"and its annotations are for {expected[1]}x{expected[0]}"
            )
        return image, tv_tensors.Mask(self._mask(record["id"], expected))

    def _mask(self, image: int, size: tuple[int, int]) -> Tensor:
        mask_HW = torch.zeros(size, dtype=torch.uint8)
        covered_HW = torch.zeros(size, dtype=torch.uint8)
        for annotation in self.coco.imgToAnns.get(image, []):
            number = self.classes.get(annotation["category_id"])
            if number is None:
                continue
            instance_HW = torch.from_numpy(self.coco.annToMask(annotation)).bool()
            mask_HW[instance_HW] = IGNORE if annotation.get("iscrowd") else number
            covered_HW += instance_HW
        mask_HW[covered_HW > 1] = IGNORE
        return mask_HW
