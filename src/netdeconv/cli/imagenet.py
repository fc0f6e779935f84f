"""``netdeconv imagenet``: a network of torchvision on ImageNet, with the original program's keywords."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from netdeconv.cli.parser import UsageError
from netdeconv.cli.runs import RunOptions, run_folder, saved_run, settings, trained
from netdeconv.data.config import DataConfig
from netdeconv.models.entry import IMAGENET
from netdeconv.tasks import Classification
from netdeconv.training.config import NetworkConfig, OptimizerConfig, TrainingConfig, replaced

LEARNING_RATE, LEARNING_RATES = 0.1, {"vgg11": 0.01, "vgg11_bn": 0.01}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Train or evaluate a network of torchvision on ImageNet, or on folders laid out like it.

    Args:
        path: folder with train/CLASS/IMAGE and val/CLASS/IMAGE; else data_dir.
        resume: run directory, or checkpoint in it, to continue with its settings, or to evaluate.
        evaluate: evaluate the run that resume names, or pretrained weights; train nothing.
        print_freq: steps between lines of progress.
    """

    path: Annotated[str | None, Positional, arg(metavar="PATH")] = None
    evaluate: Annotated[bool, arg(aliases=("-e",))] = False
    print_freq: Annotated[int | None, arg(aliases=("-p",))] = None


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
    options, typed = settings(
        arguments, DEFAULT, prog="netdeconv imagenet", split=split, saved=saved_run, fixed=not evaluate
    )
    values: dict[str, Any] = {"data.data_dir": options.path or options.config.data.data_dir}
    if options.resume is None and "config.optimizer.lr" not in typed:
        arch = options.config.network.arch.removeprefix(IMAGENET)
        values["optimizer.lr"] = LEARNING_RATES.get(arch, LEARNING_RATE)
    if evaluate and "config.data.max_batches" not in typed:
        values["data.max_batches"] = None
    return dataclasses.replace(options, config=replaced(options.config, values))


def split(name: str) -> tuple[str, bool]:
    """Return the network that a name means, and whether a ``d`` at the end says that it is converted."""
    from netdeconv.models.entry import split_name
    from netdeconv.models.imagenet import KIND, NAMES

    plain, converted = split_name(KIND, name.removeprefix(IMAGENET), NAMES)
    return IMAGENET + plain, converted


def main(arguments: Sequence[str]) -> int:
    """Train or evaluate as the arguments say."""
    options = options_of(arguments)
    if options.evaluate:
        print(_evaluated(options))
    else:
        trained(options, every=options.print_freq or 10)
    return 0


def _evaluated(options: Options) -> str:
    """What a run's network, or a pretrained one, reaches on the evaluation images, in words."""
    import torch

    from netdeconv.tasks.trained import TrainedClassifier, load_trained
    from netdeconv.training.devices import device_type, process_settings

    config = options.config
    with process_settings(config.threads):
        device = torch.device(device_type(config.device))
        if options.resume is not None:
            own = load_trained(run_folder(options.resume), device=device)
        elif config.network.pretrained:
            info = config.task.open(config.data, seed=config.seed, device=device, shard=(0, 1)).info
            network = config.task.build_network(config.network, info).to(device).eval()
            own = TrainedClassifier(path=Path(), config=config, info=info, network=network, device=device)
        else:
            raise UsageError("--evaluate needs the run to evaluate, with --resume, or --pretrained")
        found = dataclasses.replace(own, config=config).measure()
    top5 = f", top-5 {found['accuracy_top5']:.2f} %" if "accuracy_top5" in found else ""
    return f"{found['evaluated_on']} accuracy: top-1 {found['accuracy']:.2f} %{top5}, loss {found['loss']:.4f}"
