"""Seconds of an evaluation: whitened, folded, batch norm, fused batch norm, bare: ``python -m benchmarks.inference``.

Statistics are first filled by one pass over the batch in training mode. Weights and images have the dtype asked for
(no autocast); all candidates take turns in a shuffled order, in inference mode, and ratios are taken within a round.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from benchmarks.harness import environment, options
from benchmarks.harness.steps import random_batch
from benchmarks.harness.timing import columns, describe, rounded
from benchmarks.harness.variants import BATCH_NORM, NONE
from netdeconv import fold
from netdeconv.nn import WhitenedLayer

FUSED, FOLDED = "batch_norm, fused", "folded"
NOTE = (
    "none is the bare convolution network. Whitened layers multiply D with the weight in every forward; folded ones "
    "are plain torch layers. Difference: the largest, relative to the largest output, from the network that was folded "
    "or fused."
)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, checked."""
    parser = options.parser(
        "inference", __doc__, rounds=30, warmup=3, variants=(NONE, BATCH_NORM, "default", "paper", "published")
    )
    options.add_network(parser)
    parser.add_argument("--repeat", type=int, default=1, help="forwards in a timed sample")
    return options.parse(parser, arguments)


def candidates(
    settings: argparse.Namespace, images: Tensor
) -> tuple[dict[str, nn.Module], dict[str, str], dict[str, str]]:
    """Networks by name; of folded and fused ones the name of what they came from; errors of those not made."""
    networks: dict[str, nn.Module] = {}
    origins: dict[str, str] = {}
    errors: dict[str, str] = {}
    for name in dict.fromkeys([NONE, BATCH_NORM, *settings.variants]):
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
def measure(settings: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Build, compare outputs, time."""
    images, _ = random_batch(settings.batch_size, settings.size, settings.classes, device, seed=settings.seed)
    images = images.to(environment.DTYPES[settings.dtype])
    with torch.inference_mode(False):  # parameters and statistics are ordinary tensors
        networks, origins, errors = candidates(settings, images.clone())
    actions = {name: lambda network=network: network(images) for name, network in networks.items()}
    samples = options.timed(settings, actions, device, repeat=settings.repeat)
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
                **columns("to no norm", samples.ratios(name, NONE)),
                **columns("to batch norm, fused", samples.ratios(name, FUSED)),
                "difference": rounded(_difference(networks[name], networks[origin], images), 2) if origin else None,
            }
        )
    title = f"Inference: {options.network_label(settings)}, {settings.dtype}, {settings.device}"
    return {"name": title, "config": {"memory format": "channels_last"}, "rows": rows, "note": NOTE}


def _difference(network: nn.Module, origin: nn.Module, images: Tensor) -> float:
    expected = origin(images).double()
    return float((network(images).double() - expected).abs().max() / expected.abs().max())


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print, write."""
    options.main(
        "inference", arguments, parse, measure, lambda s: options.output(s, "inference", options.network_label(s))
    )


if __name__ == "__main__":
    main()
