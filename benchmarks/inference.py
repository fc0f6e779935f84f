"""Seconds of an evaluation: whitened, folded, batch norm, fused batch norm, bare: ``python -m benchmarks.inference``.

Statistics are first filled by one pass over the batch in training mode. Weights and images have the dtype asked for
(no autocast); all candidates take turns in a shuffled order, in inference mode, and ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from benchmarks import environment, options, tables
from benchmarks.steps import random_batch
from benchmarks.timing import columns, describe, interleave, rounded
from benchmarks.variants import BATCH_NORM, NO_NORM, VARIANTS
from netdeconv import fold
from netdeconv.lookup import look_up
from netdeconv.nn import WhitenedLayer

FUSED, FOLDED = "batch_norm, fused", "folded"
NOTE = (
    "no_norm is the bare convolution network. Whitened layers keep the product of D and the weight; folded ones are "
    "plain torch layers. `published` multiplies at every forward. Difference: the largest, relative to the largest "
    "output, from the network that was folded or fused."
)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, checked."""
    parser = options.parser("inference", __doc__, rounds=30, warmup=3)
    options.add_network(parser)
    parser.add_argument(
        "--variants",
        nargs="+",
        default=["paper", "channel", "published"],
        metavar="NAME",
        help="whitened variants, evaluated and folded, beside batch norm and no norm",
    )
    parser.add_argument("--repeat", type=int, default=1, help="forwards in a timed sample")
    parsed = parser.parse_args(arguments)
    options.resolve_network(parsed)
    for name in parsed.variants:
        look_up("variant", name, VARIANTS)
    return parsed


def candidates(
    settings: argparse.Namespace, images: Tensor
) -> tuple[dict[str, nn.Module], dict[str, str], dict[str, str]]:
    """Networks by name; of folded and fused ones the name of what they came from; errors of those not made."""
    networks: dict[str, nn.Module] = {}
    origins: dict[str, str] = {}
    errors: dict[str, str] = {}
    for name in dict.fromkeys([NO_NORM, BATCH_NORM, *settings.variants]):
        try:
            network = _trained(settings, name, images)
            networks[name] = network
            if name == BATCH_NORM:
                networks[FUSED], origins[FUSED] = fuse(network), name
            elif any(isinstance(module, WhitenedLayer) for module in network.modules()):
                folded = f"{name}, {FOLDED}"
                networks[folded], origins[folded] = fold(network), name
        except Exception as error:  # a row of the table
            errors[name] = describe(error)
    return networks, origins, errors


def _trained(settings: argparse.Namespace, name: str, images: Tensor) -> nn.Module:
    """A network in evaluation mode with statistics of the images."""
    network = options.network(settings, name)
    network.to(images.device, memory_format=torch.channels_last).train()
    with torch.no_grad():
        network(images.float())
    return network.to(images.dtype).eval()


@torch.inference_mode()
def measure(settings: argparse.Namespace, command: str) -> dict[str, Any]:
    """Build, compare outputs, time; return the table."""
    begun = time.perf_counter()
    device = environment.prepare(settings.device, settings.threads)
    images, _ = random_batch(settings.batch_size, settings.size, settings.classes, device, seed=settings.seed)
    images = images.to(environment.DTYPES[settings.dtype])
    with torch.inference_mode(False):  # parameters and statistics are ordinary tensors
        networks, origins, errors = candidates(settings, images.clone())
    samples = interleave(
        {name: lambda network=network: network(images) for name, network in networks.items()},
        rounds=settings.rounds,
        warmup=settings.warmup,
        repeat=settings.repeat,
        seed=settings.seed,
        synchronize=environment.synchronizer(device),
    )
    errors |= samples.errors
    rows = []
    for name in dict.fromkeys([*networks, *errors]):
        if name in errors:
            rows.append({"network": name, "error": errors[name]})
            continue
        origin = origins.get(name)
        rows.append(
            {
                "network": name,
                **columns("seconds", samples.seconds[name]),
                **columns("to no norm", samples.ratios(name, NO_NORM)),
                **columns("to batch norm, fused", samples.ratios(name, FUSED)),
                "difference": rounded(_difference(networks[name], networks[origin], images), 2) if origin else None,
            }
        )
    named = ("arch", "imagenet", "batch_size", "size", "classes", "dtype", "device", "rounds", "warmup", "repeat")
    return tables.build(
        f"Inference: {options.network_label(settings)}, {settings.dtype}, {settings.device}",
        command=command,
        config={name: getattr(settings, name) for name in named} | {"memory format": "channels_last"},
        seed=settings.seed,
        device=device,
        begun=begun,
        rows=rows,
        note=NOTE,
    )


def _difference(network: nn.Module, origin: nn.Module, images: Tensor) -> float:
    expected = origin(images).double()
    return float((network(images).double() - expected).abs().max() / expected.abs().max())


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print, write."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    settings = parse(given)
    table = measure(settings, environment.command("inference", given))
    tables.show(table)
    tables.write(table, options.output(settings, "inference", options.network_label(settings)))


if __name__ == "__main__":
    main()
