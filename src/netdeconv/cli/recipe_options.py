"""Settings of a recipe's row, and what typed options change of them."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Collection
from typing import Any

from netdeconv.cli.argparser import Option, UsageError
from netdeconv.cli.normalisation import FIELDS, NAMES, changes
from netdeconv.cli.settings import training_config
from netdeconv.experiments import experiment
from netdeconv.models import NormConfig
from netdeconv.tasks import Classification
from netdeconv.training import NetworkConfig, TrainingConfig

RECIPE: dict[str, Option] = {
    "--recipe": Option(
        "", "take the settings of an experiment, see `netdeconv list experiments`; others override them"
    ),
    "--row": Option("", "which run of the experiment, where it has several"),
}
# Settings that are called otherwise than the option; the others are found by the option's own name.
PLACES: dict[str, str] = {
    "no_augment": "data.augment",
    "no_verify": "data.verify",
    "optimizer": "optimizer.name",
    "wd": "optimizer.weight_decay",
    "lr_scheduler": "optimizer.schedule",
    "warmup_epochs": "optimizer.warmup",
}
# What says which recipe, and how to show it; the images of some data sets need no workers.
_NOT_SETTINGS = {"recipe", "row", "resume", "msg", "name", "rows"}
_PERHAPS_SETTINGS = {"num_workers"}


def recipe_config(options: argparse.Namespace, given: Collection[str]) -> TrainingConfig:
    """Return the settings that options ask for: a recipe's row with overrides, or those of the options alone.

    Raises:
        ValueError: when a name is unknown, the recipe has several rows and none is named, or an option cannot override.
    """
    if not options.recipe:
        if "row" in given:
            raise UsageError("--row names a run of a recipe: it needs --recipe")
        return training_config(options, given)
    chosen = experiment(options.recipe)
    labels = chosen.select([options.row] if options.row else [])
    if len(labels) > 1:
        raise UsageError(f"{chosen.name} has several rows: name one with --row (known: {', '.join(labels)})")
    return overridden(chosen.rows[labels[0]].config, options, given)


def overridden(config: TrainingConfig, options: argparse.Namespace, given: Collection[str]) -> TrainingConfig:
    """Return the settings with what was typed in the place of their own.

    Args:
        config: settings of a recipe's row.
        options: values of all options.
        given: names of those that were typed.

    Raises:
        ValueError: when an option cannot override, a name is unknown, or options contradict each other.
    """
    asked = _asked(config, options, given)
    for name in sorted(set(given) - _NOT_SETTINGS - NAMES - FIELDS.keys() - {"delinear"}):
        place = PLACES.get(name) or _place(config, name)
        if place:
            config = _with(config, place, _at(asked, place))
        elif name not in _PERHAPS_SETTINGS:
            raise UsageError(f"--{name.replace('_', '-')} cannot override a recipe")
    network = _network(config.network, asked.network, options, given)
    # What notes the epochs is the program's choice, not the recipe's.
    return dataclasses.replace(config, network=network, loggers=asked.loggers)


def _asked(config: TrainingConfig, options: argparse.Namespace, given: Collection[str]) -> TrainingConfig:
    """The settings that the options alone ask for, of the row's network for the row's epochs."""
    own: dict[str, Any] = {"epochs": config.epochs}
    if isinstance(config.task, Classification):  # other tasks have names of their own
        own |= {"arch": config.network.arch, "dataset": config.data.dataset}
    defaults = {name: value for name, value in own.items() if name not in given}
    named = given if NAMES & set(given) else set(given) - FIELDS.keys() - {"delinear"}
    return training_config(argparse.Namespace(**{**vars(options), **defaults}), named)


def _network(
    network: NetworkConfig, asked: NetworkConfig, options: argparse.Namespace, given: Collection[str]
) -> NetworkConfig:
    """The row's network with the normalisation that was asked for, or with its own changed."""
    changed = changes(options, given)
    if NAMES & set(given):
        norm = asked.norm
    elif changed and not network.norm.whitens:
        raise UsageError("this row of the experiment whitens nothing: options of the whitening say nothing of it")
    else:
        norm = dataclasses.replace(network.norm, **changed)
    return dataclasses.replace(network, norm=norm)


def _place(config: Any, name: str) -> str:
    """Where the settings have a field of this name; empty where they have none."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name == name:
            return name
        if dataclasses.is_dataclass(value) and not isinstance(value, NormConfig):
            deeper = _place(value, name)
            if deeper:
                return f"{field.name}.{deeper}"
    return ""


def _at(config: Any, place: str) -> Any:
    for name in place.split("."):
        config = getattr(config, name)
    return config


def _with(config: Any, place: str, value: Any) -> Any:
    """The settings with one of them changed, however deep it lies."""
    name, _, rest = place.partition(".")
    return dataclasses.replace(config, **{name: _with(getattr(config, name), rest, value) if rest else value})
