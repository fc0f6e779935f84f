"""Settings of a recipe's row, and what typed options change of them."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Collection
from typing import Any

from netdeconv.cli.parser import Option, UsageError
from netdeconv.cli.settings import training_config
from netdeconv.experiments import recipe
from netdeconv.nn import Freeze, Whitening
from netdeconv.tasks import Classification
from netdeconv.training import NetworkConfig, TrainingConfig

RECIPE: dict[str, Option] = {
    "--recipe": Option("", "take the settings of a recipe, see `netdeconv list recipes`; other options override them"),
    "--row": Option("", "which run of the recipe, where it has several"),
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
# Options that decide what is whitened at all, and settings of what a row whitens already.
_NORMALISATION = {"norm", "deconv", "batchnorm", "delinear", "published", "structure", "stem"}
_WHITENING = {
    "block": "group_size",
    "deconv_iter": "num_iterations",
    "eps": "eps",
    "stride": "sampling_stride",
    "rows_per_feature": "rows_per_feature",
    "refresh_interval": "refresh_interval",
    "layout": "layout",
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
    chosen = recipe(options.recipe)
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
    whitening = {*_NORMALISATION, *_WHITENING, "block_fc", "freeze"}
    for name in sorted(set(given) - _NOT_SETTINGS - whitening):
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
    return training_config(argparse.Namespace(**{**vars(options), **defaults}), given)


def _network(
    network: NetworkConfig, asked: NetworkConfig, options: argparse.Namespace, given: Collection[str]
) -> NetworkConfig:
    """The row's network with the normalisation that was asked for, or with its own whitening changed."""
    if _NORMALISATION & set(given):
        return dataclasses.replace(asked, arch=network.arch, width=network.width, bias=network.bias)
    changes = _changes(options, given)
    own = {part: getattr(network, part) for part in changes}
    if any(changes.values()) and not any(isinstance(setting, Whitening) for setting in own.values()):
        raise UsageError("this row of the recipe whitens nothing: options of the whitening say nothing of it")
    changed: dict[str, Any] = {
        part: dataclasses.replace(setting, **changes[part])
        for part, setting in own.items()
        if isinstance(setting, Whitening)
    }
    if "block_fc" in given and options.block_fc == 0:
        changed["linear"] = False
    return dataclasses.replace(network, **changed)


def _changes(options: argparse.Namespace, given: Collection[str]) -> dict[str, dict[str, Any]]:
    """What was typed of the whitening, for each kind of layer: the stem has its steps, linear layers their blocks."""
    both = {setting: getattr(options, name) for name, setting in _WHITENING.items() if name in given}
    stem = {setting: value for setting, value in both.items() if setting != "num_iterations"}
    linear = {setting: value for setting, value in both.items() if setting != "group_size"}
    if "freeze" in given:
        stem["freeze"] = Freeze() if options.freeze else None
    if "block_fc" in given and options.block_fc > 0:
        linear["group_size"] = options.block_fc
    return {"whitening": both, "stem": stem, "linear": linear}


def _place(config: Any, name: str) -> str:
    """Where the settings have a field of this name; empty where they have none."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name == name:
            return name
        if dataclasses.is_dataclass(value) and not isinstance(value, Whitening):
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
