"""``netdeconv imagenet``: a network of torchvision on ImageNet, with the original program's keywords."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netdeconv.cli import options as tables
from netdeconv.cli.evaluation import evaluate_checkpoint
from netdeconv.cli.parser import Option, Parser, UsageError, switch, true_or_false
from netdeconv.cli.settings import training_config
from netdeconv.cli.train import resumed, run_folder
from netdeconv.data import explained_deaths, find_imagenet, resolve_data_dir
from netdeconv.models import IMAGENET, parse_imagenet_name
from netdeconv.tasks import TASKS
from netdeconv.training import (
    PlainLines,
    Reporter,
    TrainingConfig,
    from_plain,
    is_first_process,
    read_config,
    run,
)
from netdeconv.training.run_directory import CONFIG
from netdeconv.viz import curves

# The original program's own, and those of its options that have other defaults or further names here.
ORIGINAL: dict[str, Option] = {
    "-a --arch": Option("resnet18", "classification network of torchvision; with a d at the end: converted"),
    "-j --num-workers --workers": Option(
        32, "loader processes of this machine, at most one for each processor core; 0: none"
    ),
    "--epochs": Option(90, "passes over the training images"),
    "--start-epoch": Option(0, "begin a new run as if so many epochs were done; a resumed one knows its own"),
    "-b --batch-size": Option(256, "images in a batch, all processes together"),
    "--lr --learning-rate": Option(None, "learning rate; else 0.1, for vgg11 0.01", {"type": float}),
    "--wd --weight-decay": Option(1e-4, "weight decay"),
    "-p --print-freq": Option(10, "steps between lines of progress"),
    "--resume": Option("", "run directory, or checkpoint in it, to continue with its settings, or to evaluate"),
    "-e --evaluate": switch("evaluate the checkpoint that --resume names, or --pretrained weights; train nothing"),
    "--pretrained": switch("start with torchvision's weights, for 1000 classes and without --deconv"),
    "--test-run": Option(
        False, "True: only --test-iter steps of an epoch and batches of an evaluation", {"nargs": "?", "const": True}
    ),
    "--test-iter": Option(500, "see --test-run"),
}
OURS: dict[str, Option] = {
    "--num-classes": Option(None, "classes of the folder; else as many as it has", {"type": int}),
    "--resize": Option(None, "shorter side of an image before an evaluation's crop; else 8/7 of it", {"type": int}),
}
DEFAULTS = {"--block-fc": 64}
# What an evaluation may have otherwise than the run whose network it measures.
OF_EVALUATION = (
    *("data_dir", "batch_size", "validation_size", "image_size", "resize", "num_workers", "decode"),
    "skip_corrupt",
)
LEARNING_RATE, LEARNING_RATES = 0.1, {"vgg11": 0.01, "vgg11_bn": 0.01}
_LEFT_OUT = {"--data-dir", "--no-verify", "--download"}


def parser() -> Parser:
    """Return the parser of ``netdeconv imagenet``."""
    built = Parser(
        prog="netdeconv imagenet",
        description="Train or evaluate a network of torchvision on ImageNet, or on folders laid out like it.",
    )
    built.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        help="folder with train/CLASS/IMAGE and val/CLASS/IMAGE, or with the batches of ImageNet at 16x16 or 32x32; "
        "else NETDECONV_DATA, else ./data",
    )
    truth = {"type": true_or_false}
    own = {
        flags: dataclasses.replace(option, extra={**option.extra, **truth}) if "const" in option.extra else option
        for flags, option in ORIGINAL.items()
    }
    taken = {flag for flags in own for flag in flags.split()} | _LEFT_OUT
    for table in (own, OURS, tables.STRUCTURE, tables.TRAINING, tables.WHITENING, tables.DATA, tables.MACHINE):
        built.add_options(table if table in (own, OURS) else tables.rest(table, taken, DEFAULTS))
    return built


def main(arguments: Sequence[str]) -> int:
    """Train or evaluate as the arguments say."""
    options, given = parser().parse(arguments)
    saved = _saved(options)
    config = settings(options, given, saved)
    with explained_deaths():
        if options.evaluate:
            record = evaluate_checkpoint(*_evaluation(config, options, given, saved))
            _say(scores(record))
            return 0
        if saved is not None:
            config = resumed(options.resume, config, given - {"start_epoch"})
        result = run(config, progress=_progress(options, given), resume=saved is not None)
    last = result.history[-1]
    if is_first_process():
        name = config.network.arch.removeprefix(IMAGENET)
        figure = curves({name: result.history}, title=f"{name} on {Path(str(config.data.data_dir)).name}")
        figure.savefig(result.path / "curves.png", dpi=120)
    _say(f"{scores(last)} after epoch {last['epoch']}; results in {result.path}")
    return 0


def settings(options: argparse.Namespace, given: set[str], saved: TrainingConfig | None = None) -> TrainingConfig:
    """Return the settings of a run.

    Args:
        options: what was typed, and defaults.
        given: names of the options that were typed; ``path`` becomes ``data_dir``.
        saved: settings of the run that is to be continued or evaluated: where it has the network and the folder.

    Raises:
        UsageError: when options contradict each other.
        MissingDataError: when the folder holds no ImageNet.
    """
    if saved is not None and "arch" not in given:
        options.arch = saved.network.arch.removeprefix(IMAGENET)
    name, converted = parse_imagenet_name(options.arch)
    if converted and "deconv" in given and not options.deconv:
        raise UsageError(f"{options.arch!r} means {name!r} converted: --deconv False contradicts it")
    options.deconv = options.deconv or converted
    options.arch, options.width = IMAGENET + name, 1.0
    if options.lr is None:
        options.lr = LEARNING_RATES.get(name, LEARNING_RATE)
    if options.path is None and saved is not None:
        options.path = saved.data.data_dir
    given |= {"data_dir"} if "path" in given else set()
    options.data_dir = str(resolve_data_dir(options.path))
    options.no_verify = options.download = False
    found = find_imagenet(Path(options.data_dir))
    options.dataset = found.dataset
    config = training_config(options)
    return dataclasses.replace(
        config,
        start_epoch=options.start_epoch,
        network=dataclasses.replace(config.network, pretrained=options.pretrained),
        data=dataclasses.replace(
            config.data,
            num_classes=options.num_classes or found.num_classes,
            resize=options.resize,
            max_batches=options.test_iter if options.test_run else None,
        ),
    )


def scores(record: Mapping[str, Any]) -> str:
    """Return the accuracies and the loss of an evaluation, in words."""
    top5 = f", top-5 {record['accuracy_top5']:.2f} %" if "accuracy_top5" in record else ""
    return f"{record['evaluated_on']} accuracy: top-1 {record['accuracy']:.2f} %{top5}, loss {record['loss']:.4f}"


def _say(text: str) -> None:
    if is_first_process():
        print(text)


def _saved(options: argparse.Namespace) -> TrainingConfig | None:
    """Settings of the run that ``--resume`` names; a checkpoint alone is enough to be evaluated."""
    if not options.resume:
        return None
    folder = run_folder(options.resume)
    if options.evaluate and Path(options.resume).expanduser().is_file() and not (folder / CONFIG).exists():
        return None
    return from_plain(read_config(folder), TASKS)


def _evaluation(
    asked: TrainingConfig, options: argparse.Namespace, given: set[str], saved: TrainingConfig | None
) -> tuple[TrainingConfig, Path | None]:
    """What to evaluate: the network of a run as it was trained, on the data that are asked for."""
    if not options.resume:
        if not options.pretrained:
            raise UsageError("--evaluate needs the checkpoint to evaluate, with --resume, or --pretrained")
        return asked, None
    checkpoint = Path(options.resume).expanduser()
    if saved is None:
        return asked, checkpoint
    own = {name: getattr(asked.data, name) for name in OF_EVALUATION if name in given}
    data = dataclasses.replace(saved.data, max_batches=asked.data.max_batches, **own)
    precision = asked.precision if "precision" in given else saved.precision
    config = dataclasses.replace(asked, task=saved.task, network=saved.network, data=data, precision=precision)
    return config, checkpoint if checkpoint.is_file() else checkpoint / "checkpoint.pt"


def _progress(options: argparse.Namespace, given: set[str]) -> bool | Reporter:
    if options.msg and "print_freq" in given:
        return PlainLines(every=options.print_freq)
    return bool(options.msg)
