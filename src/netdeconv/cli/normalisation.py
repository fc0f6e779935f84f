"""Which normalisation the options ask for: ``--norm``, or the published program's keywords for the same."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import Any

from netdeconv.cli.argparser import UsageError
from netdeconv.models import BATCH_NORM, NORMALISATIONS, NormConfig
from netdeconv.surgery.settings import DEFAULT

# Settings of the whitening by the option that names them: the published keywords, and ours.
FIELDS = {
    "structure": "structure",
    "block": "group_size",
    "block_fc": "linear_group_size",
    "deconv_iter": "num_iterations",
    "eps": "eps",
    "stride": "sampling_stride",
    "rows_per_feature": "rows_per_feature",
    "freeze": "freeze",
    "stem": "stem",
    "bias": "bias",
    "published": "published",
}
NAMES = frozenset({"norm", "deconv", "batchnorm"})


def norm_config(options: argparse.Namespace, given: Collection[str]) -> NormConfig:
    """Return the normalisation that the options ask for.

    Args:
        options: values of all options.
        given: names of those that were typed.

    Raises:
        ValueError: when a name is unknown, options contradict each other, or one says how to whiten and nothing is.
    """
    for first, second in _contradictions(options, given):
        raise UsageError(f"{first} and {second} contradict each other: leave one of them out")
    name = options.norm or (DEFAULT if options.deconv else BATCH_NORM if options.batchnorm else "none")
    changed = changes(options, given)
    if name in NORMALISATIONS and NORMALISATIONS[name].settings is None:
        if changed.get("linear_group_size") == 0:  # the published program's way to say that nothing is whitened
            del changed["linear_group_size"]
        typed = [_typed(options, option) for option, field in FIELDS.items() if field in changed]
        if typed:
            raise UsageError(f"{' and '.join(typed)}: says how to whiten, but the norm is {name}: add --deconv True")
    return NormConfig(name=name, **changed)


def changes(options: argparse.Namespace, given: Collection[str]) -> dict[str, Any]:
    """Return the settings of the whitening that were typed."""
    found = {field: getattr(options, option) for option, field in FIELDS.items() if option in given}
    if "delinear" in given and not options.delinear:
        found["linear_group_size"] = 0
    return found


def _typed(options: argparse.Namespace, name: str) -> str:
    return f"--{name.replace('_', '-')} {getattr(options, name, '')}"


def _contradictions(options: argparse.Namespace, given: Collection[str]) -> list[tuple[str, str]]:
    """Pairs of options that were typed and cannot both hold."""
    found = []
    if "delinear" in given and "block_fc" in given and options.delinear == (options.block_fc == 0):
        found.append(("delinear", "block_fc"))
    if "deconv" in given and "batchnorm" in given and options.deconv and options.batchnorm:
        found.append(("deconv", "batchnorm"))
    norm = NORMALISATIONS.get(options.norm)
    if norm is not None:
        meant = {"deconv": norm.settings is not None, "batchnorm": norm.norm == BATCH_NORM and norm.settings is None}
        found += [("norm", name) for name, value in meant.items() if name in given and getattr(options, name) != value]
    return [(_typed(options, first), _typed(options, second)) for first, second in found]
