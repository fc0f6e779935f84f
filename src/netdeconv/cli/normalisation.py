"""Which normalisation the options ask for: ``--norm``, or the original program's keywords for the same."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Collection

from netdeconv.cli.parser import UsageError
from netdeconv.experiments import WhiteningChoice, variant
from netdeconv.training import NetworkConfig

# They keep batch norm wherever nothing is whitened.
_WITH_BATCH_NORM = ("batch_norm", "stem")
_WITH_PATCH_STEM = ("stem", "stem_channel")


def normalised(
    network: NetworkConfig, choice: WhiteningChoice, options: argparse.Namespace, given: Collection[str]
) -> NetworkConfig:
    """Return the network with the normalisation that the options ask for.

    Args:
        network: name and width.
        choice: settings of the whitening.
        options: values of all options.
        given: names of those that were typed: they decide where defaults would be silent.

    Raises:
        ValueError: when a name is unknown, or options contradict each other.
    """
    _refuse_contradictions(options, given)
    if options.norm:
        built = variant(options.norm).network(choice, network)
    elif options.deconv:
        built = dataclasses.replace(
            network,
            whitening=dataclasses.replace(choice.base, structure=options.structure),
            stem=choice.patch_stem(network.arch),
            linear=choice.linear(),
        )
    else:
        built = dataclasses.replace(network, norm="batch_norm" if options.batchnorm else "none")
    built = _with_linear_layers(built, choice, options, given)
    return dataclasses.replace(built, published=options.published)


def _with_linear_layers(
    network: NetworkConfig, choice: WhiteningChoice, options: argparse.Namespace, given: Collection[str]
) -> NetworkConfig:
    """What was typed of linear layers holds with every normalisation, as in the published program."""
    if not options.delinear:
        return network if network.whitening is None else dataclasses.replace(network, linear=False)
    if not {"delinear", "block_fc"} & set(given):
        return network
    linear = choice.linear()
    if network.whitening is not None:
        return dataclasses.replace(network, linear=linear)
    return network if linear is False else dataclasses.replace(network, whitening=False, linear=linear)


def _refuse_contradictions(options: argparse.Namespace, given: Collection[str]) -> None:
    for first, second in _contradictions(options, given):
        raise UsageError(f"{first} and {second} contradict each other: leave one of them out")
    whitens = variant(options.norm).whitens if options.norm else options.deconv
    if options.published and not whitens:
        raise UsageError("--published says what is whitened: it needs --deconv True, or a --norm that whitens")


def _contradictions(options: argparse.Namespace, given: Collection[str]) -> list[tuple[str, str]]:
    """Pairs of options that were typed and cannot both hold."""
    found = []
    typed = {name: f"--{name.replace('_', '-')} {getattr(options, name)}" for name in given if hasattr(options, name)}
    if "delinear" in given and "block_fc" in given and options.delinear == (options.block_fc == 0):
        found.append((typed["delinear"], typed["block_fc"]))
    if "deconv" in given and "batchnorm" in given and options.deconv and options.batchnorm:
        found.append((typed["deconv"], typed["batchnorm"]))
    norm = options.norm
    if not norm:
        return found
    conflicts = {
        "deconv": variant(norm).whitens != options.deconv,
        "batchnorm": (norm in _WITH_BATCH_NORM) != options.batchnorm,
        "structure": options.structure != norm.removesuffix("16"),
        "block": norm == "full16" and options.block != 16,
        "stem": norm in _WITH_PATCH_STEM and not options.stem,
    }
    return found + [(f"--norm {norm}", typed[name]) for name, differs in conflicts.items() if name in given and differs]
