"""Command-line options that several measurements share."""

from __future__ import annotations

import argparse
from pathlib import Path

from torch import nn

from benchmarks.environment import DTYPES
from benchmarks.tables import FOLDER
from benchmarks.variants import build_network
from netdeconv import models


def parser(module: str, description: str | None, *, rounds: int, warmup: int) -> argparse.ArgumentParser:
    """A parser with the options that all of them have."""
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--dtype", choices=DTYPES, default="float32")
    made.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    made.add_argument("--threads", type=int, default=None, help="processor threads; torch's choice otherwise")
    made.add_argument("--rounds", type=int, default=rounds, help="timed rounds")
    made.add_argument("--warmup", type=int, default=warmup, help="rounds before them")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--output", type=Path, default=None, help="results file; one in results/benchmarks/ otherwise")
    return made


def add_network(made: argparse.ArgumentParser) -> None:
    """Options that say which network sees which images."""
    made.add_argument("--arch", default="vgg11", help="a name of netdeconv.models (torchvision's where --imagenet)")
    made.add_argument("--imagenet", action="store_true", help="torchvision's network, 1000 classes")
    made.add_argument("--batch-size", type=int, default=None, help="128; 256 where --imagenet")
    made.add_argument("--size", type=int, default=None, help="of the images: 32; 224 where --imagenet")
    made.add_argument("--classes", type=int, default=None, help="10; 1000 where --imagenet")


def resolve_network(options: argparse.Namespace) -> None:
    """Fill in what depends on ``--imagenet``.

    Raises:
        UnknownNameError: when netdeconv.models has no such network.
    """
    if not options.imagenet:
        models.architecture(options.arch)
    for name, usual in _usual(options.imagenet).items():
        if getattr(options, name) is None:
            setattr(options, name, usual)


def _usual(imagenet: bool) -> dict[str, int]:
    sizes = (256, 224, 1000) if imagenet else (128, 32, 10)
    return dict(zip(("batch_size", "size", "classes"), sizes, strict=True))


def network(options: argparse.Namespace, variant: str) -> nn.Module:
    """The network that was asked for, with the normalisation of a variant."""
    return build_network(
        options.arch,
        variant,
        num_classes=options.classes,
        image_size=options.size,
        imagenet=options.imagenet,
        seed=options.seed,
    )


def network_label(options: argparse.Namespace) -> str:
    """The network as file names and titles call it, with whatever is not as usual."""
    label = f"imagenet-{options.arch}" if options.imagenet else options.arch
    for name, usual in _usual(options.imagenet).items():
        if getattr(options, name) != usual:
            label += f"-{name.partition('_')[0]}{getattr(options, name)}"
    return label


def output(options: argparse.Namespace, *parts: str) -> Path:
    """The results file: what was asked for, or one named after what was measured, dtype and device."""
    return options.output or FOLDER / ("-".join([*parts, options.dtype, options.device]) + ".json")
