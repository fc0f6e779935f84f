"""``netdeconv imagenet``: a network of torchvision on ImageNet, with the original program's keywords."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from netdeconv.cli.parser import UsageError
from netdeconv.cli.runs import Options as RunOptions
from netdeconv.cli.runs import run_folder, saved_run, settings, trained
from netdeconv.data.config import DataConfig
from netdeconv.models.entry import IMAGENET
from netdeconv.tasks import Classification
from netdeconv.training.config import NetworkConfig, OptimizerConfig, TrainingConfig

if TYPE_CHECKING:
    pass

LEARNING_RATE, LEARNING_RATES = 0.1, {"vgg11": 0.01, "vgg11_bn": 0.01}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Train or evaluate a network of torchvision on ImageNet, or on folders laid out like it.

    Args:
        path: folder with train/CLASS/IMAGE and val/CLASS/IMAGE; else data_dir.
        resume: run directory, or checkpoint in it, to continue with its settings, or to evaluate.
        evaluate: evaluate the checkpoint that resume names, or pretrained weights; train nothing.
        print_freq: steps between lines of progress.
        test_run: only test_iter steps of an epoch and batches of an evaluation.
        test_iter: see test_run.
    """

    path: Annotated[str | None, Positional, arg(metavar="PATH")] = None
    evaluate: Annotated[bool, arg(aliases=("-e",))] = False
    print_freq: Annotated[int | None, arg(aliases=("-p",))] = None
    test_run: bool = False
    test_iter: int = 500


DEFAULT = Options(
    config=TrainingConfig(
        task=Classification(),
        data=DataConfig(dataset="imagenet", batch_size=256, num_workers=32),
        network=NetworkConfig(arch=f"{IMAGENET}resnet18"),
        optimizer=OptimizerConfig(lr=LEARNING_RATE, weight_decay=1e-4),
        epochs=90,
        loggers=("csv", "tensorboard"),
    )
)


def options_of(arguments: Sequence[str]) -> Options:
    """Return what was typed, with the number of classes that are there.

    Raises:
        UsageError: when options contradict each other.
        MissingDataError: when the folder holds no ImageNet.
    """
    evaluate = any(word in ("-e", "--evaluate") for word in arguments)
    saved = _saved_if_any if evaluate else saved_run
    options, typed = settings(
        arguments, DEFAULT, prog="netdeconv imagenet", split=split, saved=saved, fixed=not evaluate
    )
    data, optimizer = options.config.data, options.config.optimizer
    data = dataclasses.replace(data, data_dir=options.path or data.data_dir)
    if options.resume is None and "config.optimizer.lr" not in typed:
        rate = LEARNING_RATES.get(options.config.network.arch.removeprefix(IMAGENET), LEARNING_RATE)
        optimizer = dataclasses.replace(optimizer, lr=rate)
    batches = options.test_iter if options.test_run else None if evaluate else data.max_batches
    data = dataclasses.replace(data, max_batches=batches)
    return dataclasses.replace(options, config=dataclasses.replace(options.config, data=data, optimizer=optimizer))


def split(name: str) -> tuple[str, bool]:
    """Return the network that a name means, and whether a ``d`` at the end says that it is converted."""
    from netdeconv.models.entry import split_name
    from netdeconv.models.imagenet import KIND, NAMES

    plain, converted = split_name(KIND, name.removeprefix(IMAGENET), NAMES)
    return IMAGENET + plain, converted


def _saved_if_any(folder: str) -> TrainingConfig | None:
    """Settings of the run that a checkpoint is of; a checkpoint alone is enough to be evaluated."""
    alone = Path(folder).expanduser().is_file() and not (run_folder(folder) / "config.json").exists()
    return None if alone else saved_run(folder)


def main(arguments: Sequence[str]) -> int:
    """Train or evaluate as the arguments say."""
    options = options_of(arguments)
    if options.evaluate:
        _say(scores(_evaluated(options)))
        return 0
    trained(options, every=options.print_freq or 10)
    return 0


def scores(record: Mapping[str, Any]) -> str:
    """Return the accuracies and the loss of an evaluation, in words."""
    top5 = f", top-5 {record['accuracy_top5']:.2f} %" if "accuracy_top5" in record else ""
    return f"{record['evaluated_on']} accuracy: top-1 {record['accuracy']:.2f} %{top5}, loss {record['loss']:.4f}"


def _evaluated(options: Options) -> dict[str, Any]:
    """What a checkpoint reaches on the evaluation images; under torchrun every process takes a part of them."""
    import torch

    from netdeconv.training import load_checkpoint
    from netdeconv.training.checkpoint import evaluated_weights, restore_model
    from netdeconv.training.devices import build_fabric, process_settings
    from netdeconv.training.measuring import evaluate

    config = options.config
    if options.resume is None and not config.network.pretrained:
        raise UsageError("--evaluate needs the checkpoint to evaluate, with --resume, or --pretrained")
    with process_settings(config.threads):
        fabric, _ = build_fabric(config.device, config.precision)
        shard = (fabric.global_rank, fabric.world_size)
        splits = config.task.open(config.data, seed=config.seed, device=fabric.device, shard=shard)
        torch.manual_seed(config.seed)
        network = config.task.build_network(config.network, splits.info)
        if options.resume is not None:
            named = Path(options.resume).expanduser()
            checkpoint = named if named.is_file() else named / "checkpoint.pt"
            restore_model(network, evaluated_weights(load_checkpoint(checkpoint)), checkpoint)
        network = network.to(fabric.device).to(memory_format=torch.channels_last).eval()
        meter = config.task.meter(splits.info.num_classes, fabric.device)
        with fabric.autocast():
            measured = evaluate(lambda inputs: network(inputs).float(), splits.evaluation, meter)
        return {"evaluated_on": splits.evaluated_on, **measured}


def _say(text: str) -> None:
    from netdeconv.training import is_first_process

    if is_first_process():
        print(text)
