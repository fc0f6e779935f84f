"""Command-line options that several measurements share, and the frame of all of them: parse, measure, show, write."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.harness import environment, tables
from benchmarks.harness.timing import Samples, interleave
from benchmarks.harness.variants import VARIANTS, build_network
from netdeconv import models
from netdeconv.lookup import look_up

_UNSAID = ("output", "data_dir", "threads", "seed", "other")  # said elsewhere in a table, or of this machine alone


def parser(
    module: str, description: str | None, *, rounds: int = 0, warmup: int = 0, variants: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """A parser with the options that all of them have; without rounds nothing is timed."""
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--dtype", choices=environment.DTYPES, default="float32")
    made.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    made.add_argument("--threads", type=int, default=None, help="processor threads; torch's choice otherwise")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--output", type=Path, default=None, help="results file; one in results/benchmarks/ otherwise")
    if rounds:
        made.add_argument("--rounds", type=int, default=rounds, help="timed rounds")
        made.add_argument("--warmup", type=int, default=warmup, help="rounds before them")
    if variants:
        made.add_argument("--variants", nargs="+", default=list(variants), metavar="NAME", help=", ".join(VARIANTS))
    return made


def add_network(made: argparse.ArgumentParser) -> None:
    """Options that say which network sees which images."""
    made.add_argument("--arch", default="vgg11", help="a name of netdeconv.models (torchvision's where --imagenet)")
    made.add_argument("--imagenet", action="store_true", help="torchvision's network, 1000 classes")
    made.add_argument("--width", type=float, default=1.0, help="factor on the channels; not where --imagenet")
    made.add_argument("--batch-size", type=int, default=None, help="128; 256 where --imagenet")
    made.add_argument("--size", type=int, default=None, help="of the images: 32; 224 where --imagenet")
    made.add_argument("--classes", type=int, default=None, help="10; 1000 where --imagenet")


def parse(made: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, checked, with what depends on ``--imagenet``.

    Raises:
        UnknownNameError: when there is no such network or variant.
    """
    options = made.parse_args(arguments)
    if hasattr(options, "imagenet"):
        if not options.imagenet:
            models.architecture(options.arch)
        for name, usual in _usual(options.imagenet).items():
            setattr(options, name, usual if getattr(options, name) is None else getattr(options, name))
    for name in getattr(options, "variants", []):
        look_up("variant", name, VARIANTS)
    return options


def _usual(imagenet: bool) -> dict[str, int]:
    sizes = (256, 224, 1000) if imagenet else (128, 32, 10)
    return dict(zip(("batch_size", "size", "classes"), sizes, strict=True))


def network(options: argparse.Namespace, variant: str) -> nn.Module:
    """The network that was asked for, with the normalisation of a variant."""
    arch = f"{models.IMAGENET}{options.arch}" if options.imagenet else options.arch
    named = {"num_classes": options.classes, "image_size": options.size, "width": options.width, "seed": options.seed}
    return build_network(arch, variant, **named)


def network_label(options: argparse.Namespace) -> str:
    """The network as file names and titles call it, with whatever is not as usual."""
    label = f"imagenet-{options.arch}" if options.imagenet else options.arch
    for name, usual in {"width": 1.0, **_usual(options.imagenet)}.items():
        if getattr(options, name) != usual:
            label += f"-{name.partition('_')[0]}{getattr(options, name)}"
    return label


def output(options: argparse.Namespace, *parts: str) -> Path:
    """The results file: what was asked for, or one named after what was measured, dtype and device."""
    return options.output or tables.FOLDER / ("-".join([*parts, options.dtype, options.device]) + ".json")


def timed(
    options: argparse.Namespace, actions: Mapping[str, Callable[[], object]], device: torch.device, **more: Any
) -> Samples:
    """Interleave as the options say."""
    return interleave(
        actions,
        rounds=options.rounds,
        warmup=options.warmup,
        seed=options.seed,
        synchronize=environment.synchronizer(device),
        **more,
    )


def main(
    module: str,
    arguments: Sequence[str] | None,
    parsed: Callable[[Sequence[str]], argparse.Namespace],
    measure: Callable[[argparse.Namespace, torch.device], dict[str, Any]],
    file: Callable[[argparse.Namespace], Path],
) -> None:
    """Parse, measure, print, write.

    Args:
        module: name of the command.
        arguments: what was typed; ``None``: sys.argv.
        parsed: the options.
        measure: from options and device to ``name``, ``rows`` and whatever else :func:`tables.build` takes.
        file: where the table goes.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    options, begun = parsed(given), time.perf_counter()
    device = environment.prepare(options.device, options.threads)
    said = {name: value for name, value in vars(options).items() if name not in _UNSAID}
    measured = measure(options, device)
    table = tables.build(
        command=environment.command(module, given),
        seed=options.seed,
        device=device,
        begun=begun,
        **{**measured, "config": said | measured.get("config", {})},
    )
    tables.show(table)
    tables.write(table, file(options))
