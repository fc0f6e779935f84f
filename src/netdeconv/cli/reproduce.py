"""``netdeconv reproduce``: a published experiment, or rows of it, beside the numbers that are expected."""

from __future__ import annotations

import dataclasses
import functools
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from netdeconv.cli import runs
from netdeconv.cli.reporting import lines_text
from netdeconv.cli.runs import settings
from netdeconv.cli.train import DEFAULT as TRAIN
from netdeconv.models.norm_config import NormConfig
from netdeconv.training.config import TrainingConfig, replaced
from netdeconv.training.progress import reporters

if TYPE_CHECKING:
    from netdeconv.experiments.running.runner import Reproduction


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(runs.Options):
    """Run an experiment's rows into one directory, and print what they give beside what is expected.

    Given again, the command continues. The options are those of `netdeconv train`: one that is not given is the
    experiment's own, whatever default is shown.

    Args:
        name: one of `netdeconv list experiments`.
        rows: labels or patterns of rows, such as 'vgg16*'; else all.
        export: write the table of what was trained as a results file.
    """

    name: Annotated[str, Positional, arg(metavar="NAME")]
    rows: Annotated[tuple[str, ...], Positional, arg(metavar="ROW")] = ()
    export: str | None = None


# The normalisation stands for the rows' own: options of the whitening say something of those that whiten.
_ANY = NormConfig(name="default")


def _default(config: TrainingConfig) -> Options:
    values = {"network.norm": _ANY, "network.pretrained": False, "loggers": TRAIN.config.loggers}
    return Options(name="", config=replaced(config, values))


DEFAULT = _default(TRAIN.config)


def options_of(arguments: Sequence[str]) -> tuple[Options, dict[str, str]]:
    """Return what was typed, and the names of the options of the rows that were, by the setting's place."""
    default = DEFAULT
    if arguments and not arguments[0].startswith("-"):
        from netdeconv.experiments.running.experiment import experiment

        default = _default(next(iter(experiment(arguments[0]).rows.values())).config)
    options, typed = settings(arguments, default, prog="netdeconv reproduce")
    places = {place.partition("config.")[2]: name for place, name in typed.items()}
    return options, {place: name for place, name in places.items() if place not in ("", "result_path")}


def main(arguments: Sequence[str]) -> int:
    """Run the rows, print the table, and say where everything is."""
    options, typed = options_of(arguments)
    from netdeconv.experiments.running.experiment import experiment
    from netdeconv.experiments.running.export import export
    from netdeconv.experiments.running.runner import reproduce
    from netdeconv.training.plain import FREE

    values: dict[str, Any] = {place: functools.reduce(getattr, place.split("."), options.config) for place in typed}
    changes = (f"{typed[place]} {shlex.quote(str(values[place]))}" for place in typed if place not in {*FREE, "device"})
    values["loggers"] = options.config.loggers
    chosen = experiment(options.name).changed(lambda config: overridden(config, values), sorted(changes))
    path = options.config.result_path or Path("runs") / chosen.name
    with reporters(options.msg) as reporter:
        found = reproduce(chosen, options.rows, path, reporter=reporter, render=render)
    print(render(found), end="")
    if options.export:
        print(f"table: {export(found, arguments, options.export)}")
    print(f"settings, versions and measurements: {found.path}")
    chosen_rows = chosen.select(options.rows, [row.label for row in found.rows])
    return 1 if any(row.failure for row in found.rows if row.label in chosen_rows) else 0


def overridden(config: TrainingConfig, values: Mapping[str, Any]) -> TrainingConfig:
    """Return settings with what was typed in the place of their own.

    Args:
        config: settings of a row.
        values: by their places, parts joined with dots.

    Raises:
        ValueError: when settings contradict each other.
    """
    if "network.norm.name" in values:  # what the row changes of another normalisation says nothing of this one
        config = replaced(config, {"network.norm": NormConfig()})
    return replaced(config, values)


def render(found: Reproduction) -> str:
    """Return the rows as text, the experiment's own table, and what has to be said of them."""
    from netdeconv.experiments.running.experiment import one_a_run

    chosen = found.experiment
    tables = [lines_text(f"{chosen.name}: {chosen.title}", one_a_run(found.rows))]
    if chosen.summarise and (lines := found.lines()):
        tables.append(lines_text("", lines))
    parts = [f"Per cent on the {found.evaluated_on} images, after the last epoch."] if found.evaluated_on else []
    parts.append(f"Expected: {chosen.head['Expected']} Spread: {chosen.head['Spread']}")
    if chosen.changes:
        parts.append(f"NOT the experiment's settings: {', '.join(chosen.changes)}.")
    parts += [f"{row.label}: {row.failure}." for row in found.rows if row.failure]
    return f"{''.join(tables)}{textwrap.fill(' '.join(parts), 100)}\n"
