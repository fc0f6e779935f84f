"""``netdeconv predict``: the classes that a trained network sees in images; colour overlays for segmentation."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from netdeconv.cli.parser import UsageError, parse
from netdeconv.training.config import DeviceName

if TYPE_CHECKING:
    from torch import Tensor

    from netdeconv.data.registry import DatasetInfo
    from netdeconv.tasks.trained import TrainedClassifier, TrainedSegmentation

_SHOWN = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Say which classes a trained network sees in images: of the image, or of every pixel, coloured.

    Args:
        run: run directory of netdeconv train or netdeconv segment.
        images: image files of any size.
        output: segmentation: folder for NAME-overlay.png and NAME-classes.png of every image.
        device: where to compute.
        threads: processor threads; else torch's choice.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    images: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE")]
    output: str = "predictions"
    device: DeviceName = "auto"
    threads: int | None = None


def main(arguments: Sequence[str]) -> int:
    """Predict as the arguments say."""
    options = parse(Options, arguments, prog="netdeconv predict")
    if not options.images:
        raise UsageError("which images? netdeconv predict RUN IMAGE...")
    from netdeconv.data.decoding import load_image
    from netdeconv.tasks.trained import TrainedSegmentation, load_trained
    from netdeconv.training.devices import device_type, process_settings

    paths = [Path(name).expanduser() for name in options.images]
    with process_settings(options.threads):
        # Before anything is written: a damaged one among many is known at once.
        images = [load_image(path) for path in paths]
        trained = load_trained(options.run, device=device_type(options.device))
        if isinstance(trained, TrainedSegmentation):
            _segment(trained, Path(options.output).expanduser(), paths, images)
        else:
            _classify(trained, paths, images)
    return 0


def _classify(trained: TrainedClassifier, paths: Sequence[Path], images: Sequence[Tensor]) -> None:
    names = trained.class_names
    for path, image in zip(paths, images, strict=True):
        shares, classes = trained.predict(image).topk(min(_SHOWN, len(names)))
        ranked = zip(classes.tolist(), shares.tolist(), strict=True)
        print(f"{path}: {', '.join(f'{names[number]} {100 * share:.1f} %' for number, share in ranked)}")


def _segment(trained: TrainedSegmentation, folder: Path, paths: Sequence[Path], images: Sequence[Tensor]) -> None:
    from netdeconv.viz import labelled_overlay

    twice = [name for name, count in Counter(path.stem for path in paths).items() if count > 1]
    if twice:
        raise UsageError(f"several images are called {twice[0]}: their pictures would overwrite each other")
    folder.mkdir(parents=True, exist_ok=True)
    for path, image in zip(paths, images, strict=True):
        classes = trained.predict(image)
        save_classes(classes, trained.info, folder / f"{path.stem}-classes.png")
        picture = folder / f"{path.stem}-overlay.png"
        labelled_overlay(image, classes, trained.info.classes).savefig(picture)
        print(f"{picture}: {_shares(classes, trained.info)}")


def save_classes(classes: Tensor, info: DatasetInfo, path: Path) -> None:
    """Write class numbers as a PNG whose palette has the colours of the classes."""
    import numpy as np
    from PIL import Image as PillowImage

    picture = PillowImage.fromarray(classes.numpy().astype(np.uint8))
    colors = [part for each in info.classes for part in each.color]
    picture.putpalette(colors + [0] * (768 - len(colors)))
    picture.save(path)


def _shares(classes: Tensor, info: DatasetInfo) -> str:
    """How much of the image each class covers, the largest first."""
    counts = classes.flatten().long().bincount(minlength=info.num_classes)
    order = [index for index in counts.argsort(descending=True).tolist() if counts[index]]
    return ", ".join(f"{info.class_names[index]} {100 * int(counts[index]) / classes.numel():.1f} %" for index in order)
