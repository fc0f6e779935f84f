"""``netdeconv imagenet``: a network of torchvision on ImageNet, with the original program's keywords."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from netdeconv.cli.argparser import UsageError
from netdeconv.cli.evaluation import evaluate_checkpoint
from netdeconv.cli.imagenet_options import parser
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

# What an evaluation may have otherwise than the run whose network it measures.
OF_EVALUATION = (
    *("data_dir", "batch_size", "validation_size", "image_size", "resize", "num_workers", "decode"),
    "skip_corrupt",
)
LEARNING_RATE, LEARNING_RATES = 0.1, {"vgg11": 0.01, "vgg11_bn": 0.01}


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
            config = resumed(options.resume, config, given)
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
    config = training_config(options, given)
    return dataclasses.replace(
        config,
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
    """Lines as often as was asked for, live bars where a terminal shows them and nothing was."""
    if options.msg and ("print_freq" in given or not Console().is_terminal):
        return PlainLines(every=options.print_freq)
    return bool(options.msg)
