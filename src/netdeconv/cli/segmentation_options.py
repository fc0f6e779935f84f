"""The options of segmentation, and from them to the settings of a run."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Collection, Mapping
from typing import Any

from netdeconv.cli import options as tables
from netdeconv.cli.argparser import Option, Parser, UsageError, switch
from netdeconv.cli.normalisation import norm_config
from netdeconv.cli.settings import config_of
from netdeconv.data.segmentation import Views, segmentation_info
from netdeconv.lookup import look_up
from netdeconv.models.segmentation import SEGMENTATION_NETWORKS, parse_segmentation_name
from netdeconv.tasks import Segmentation
from netdeconv.tasks.class_weights import CLASS_WEIGHTS, class_weights
from netdeconv.training import TrainingConfig

SEGMENTATION: dict[str, Option] = {
    "--dataset": Option("cityscapes", "cityscapes, voc, coco, camvid or camvid_cityscapes"),
    "--model": Option("deeplabv3_resnet50", f"{', '.join(SEGMENTATION_NETWORKS)}; with a d at the end: converted"),
    "--width": Option(1.0, "factor on the channels of ResNet-18's stages"),
    "--output-stride": Option(None, "image pixels to one of the last feature map; else the network's", {"type": int}),
    "--pretrained-backbone": Option(False, "True: start with torchvision's backbone, without --deconv"),
    "--auxiliary": Option(True, "whether there is an auxiliary head, where the network can have one"),
    "--auxiliary-weight": Option(0.5, "of the auxiliary head's loss"),
    "--class-weights": Option("none", f"of the classes in the loss: {', '.join(CLASS_WEIGHTS)}, by the masks of train"),
    "--size": Option("", "WIDTHxHEIGHT that images and masks are brought to; else they stay as they are"),
    "--crop": Option("", "WIDTHxHEIGHT of a training image; else --size, else the data set's usual"),
    "--scale": Option([0.5, 2.0], "smallest and largest random scaling in training", {"nargs": 2, "type": float}),
    "--flip": Option(True, "whether half of the training images are mirrored"),
    "--evaluate-on": Option("", "part of the data set to evaluate on; else its validation images"),
    "--evaluation-batch": Option(8, "images in a batch of the evaluation; 1 where sizes vary"),
    "--window": Option("", "WIDTHxHEIGHT of windows that evaluation slides over an image; else the whole image"),
    "--average-flip": switch("average the scores of an image and of its mirror image in evaluation"),
}
DEFAULTS: dict[str, Any] = {"--lr-scheduler": "poly", "--wd": 1e-4}
# Options of images with one label; what they would say is said by SEGMENTATION, or means nothing here.
_OTHERS: dict[str, Any] = {
    **{"--arch": "", "--loss": "CE", "--label-smoothing": 0.0, "--mixup": 0.0, "--cutout": 0, "--image-size": None},
    **{"--skip-corrupt": False, "--decode": "workers", "--no-verify": False},
}
_SIZE = re.compile(r"(\d+)x(\d+)", re.IGNORECASE)


def add_options(
    parser: Parser, own: Mapping[str, Option], defaults: Mapping[str, Any], *, without: Collection[str] = ()
) -> None:
    """Add a command's own options, those of segmentation, and those of every run.

    Args:
        parser: of the command.
        own: its own options, which take the place of others with their flags.
        defaults: by flag, where they are not the usual.
        without: flags that this command has no use for.
    """
    defaults = {**DEFAULTS, **defaults}
    parser.add_options(own)
    taken = {flag for flags in own for flag in flags.split()} | _OTHERS.keys() | {*without}
    for table in (SEGMENTATION, tables.STRUCTURE, tables.TRAINING, tables.WHITENING, tables.DATA, tables.MACHINE):
        parser.add_options(tables.rest(table, taken, defaults))


def segmentation_base(options: argparse.Namespace, *, weigh: bool = True) -> TrainingConfig:
    """Return the settings of a run with batch norm.

    Args:
        options: what was typed, and defaults; ``deconv`` becomes true when the network's name says so.
        weigh: whether class weights are counted, which reads all masks.

    Raises:
        ValueError: when a name is unknown, with the nearest one, a number is out of range, or options contradict
            each other.
        DataError: when a mask does not fit the data set.
    """
    segmentation_info(options.dataset)
    options.arch, options.named_converted = parse_segmentation_name(options.model)
    for flag, value in _OTHERS.items():
        name = flag[2:].replace("-", "_")
        if name != "arch":
            setattr(options, name, value)
    views = Views(
        size=_size("--size", options.size),
        crop=_size("--crop", options.crop),
        scale=tuple(options.scale),
        flip=options.flip,
        evaluate_on=options.evaluate_on or None,
        evaluation_batch=options.evaluation_batch,
    )
    task = Segmentation(
        views=views,
        auxiliary=options.auxiliary,
        auxiliary_weight=options.auxiliary_weight,
        output_stride=options.output_stride,
        pretrained_backbone=options.pretrained_backbone,
        window=_size("--window", options.window),
        average_flip=options.average_flip,
    )
    config = config_of(options, task)
    look_up("kind of class weights", options.class_weights, CLASS_WEIGHTS)
    if weigh and options.class_weights != "none":
        weights = class_weights(options.class_weights, config.data, views)
        config = dataclasses.replace(config, task=dataclasses.replace(task, class_weights=weights))
    return config


def segmentation_config(
    options: argparse.Namespace, given: Collection[str] = (), *, weigh: bool = True
) -> TrainingConfig:
    """Return the settings of ``netdeconv segment``; arguments and errors as those of :func:`segmentation_base`."""
    config = segmentation_base(options, weigh=weigh)
    if options.named_converted:
        if "deconv" in given and not options.deconv:
            raise UsageError(f"{options.model!r} means {options.arch!r} converted: --deconv False contradicts it")
        options.deconv = True
    if options.named_converted:
        given = {*given, "deconv"}
    return dataclasses.replace(config, network=dataclasses.replace(config.network, norm=norm_config(options, given)))


def _size(flag: str, text: str) -> tuple[int, int] | None:
    """Height and width from WIDTHxHEIGHT; ``None`` from nothing."""
    if not text:
        return None
    found = _SIZE.fullmatch(text)
    if found is None:
        raise UsageError(f"{flag} must be WIDTHxHEIGHT, as in 240x180, got {text!r}")
    return int(found[2]), int(found[1])
