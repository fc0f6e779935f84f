"""``netdeconv reproduce``: a published experiment, or rows of it, beside the numbers that are expected."""

from __future__ import annotations

import dataclasses
import functools
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, Suppress, arg

from netdeconv.cli.parser import given
from netdeconv.cli.published import translated
from netdeconv.cli.reporting import reporters, table_text
from netdeconv.cli.runs import Options as RunOptions
from netdeconv.cli.runs import over, settings
from netdeconv.cli.train import DEFAULT as TRAIN
from netdeconv.models.norm_config import NormConfig

if TYPE_CHECKING:
    from netdeconv.experiments import Experiment, Reproduction


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
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
    resume: Suppress[str | None] = None
    experiment: Suppress[str | None] = None
    row: Suppress[str | None] = None


# The normalisation stands for the rows' own: options of the whitening say something of those that whiten.
_ANY = dataclasses.replace(TRAIN.config.network, norm=NormConfig(name="default"))
DEFAULT = Options(name="", config=dataclasses.replace(TRAIN.config, network=_ANY))


def options_of(arguments: Sequence[str]) -> tuple[Options, dict[str, str]]:
    """Return what was typed, and the names of the options of the rows that were, by the setting's place."""
    default = DEFAULT
    if arguments and not arguments[0].startswith("-"):
        from netdeconv.experiments import experiment

        first = next(iter(experiment(arguments[0]).rows.values())).config
        network = dataclasses.replace(first.network, norm=_ANY.norm, pretrained=False)
        default = over(default, dataclasses.replace(first, network=network, loggers=TRAIN.config.loggers))
    options = settings(arguments, default, prog="netdeconv reproduce")
    words = translated(arguments, _ANY.norm)[0]
    typed = given(type(options), words)
    return options, {
        place.removeprefix("config."): name
        for place, name in typed.items()
        if place.startswith("config.") and place != "config.result_path"
    }


def main(arguments: Sequence[str]) -> int:
    """Run the rows, print the table, and say where everything is."""
    options, typed = options_of(arguments)
    from netdeconv.experiments import experiment, export, reproduce
    from netdeconv.training.plain import FREE

    chosen = experiment(options.name)
    values = {place: functools.reduce(getattr, place.split("."), options.config) for place in typed}
    changes = [f"{name} {shlex.quote(str(values[place]))}" for place, name in typed.items() if place not in FREE]
    with reporters(options.msg) as reporter:
        try:
            found = reproduce(
                chosen,
                options.rows,
                Path(options.config.result_path or Path("runs") / chosen.name),
                override=lambda config: overridden(config, {**values, "loggers": options.config.loggers}),
                changes=sorted(change for change in changes if not change.startswith("--device ")),
                reporter=reporter,
                noted=functools.partial(_write, chosen),
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt("stopped; the same command continues") from None
    _write(chosen, found)
    print(render(chosen, found), end="")
    if options.export:
        print(f"table: {export(chosen, found, arguments, options.export)}")
    print(f"settings, versions and measurements: {found.path}")
    chosen_rows = chosen.select(options.rows, [row.label for row in found.rows])
    return 1 if any(row.failure for row in found.rows if row.label in chosen_rows) else 0


def overridden(config: Any, values: Mapping[str, Any]) -> Any:
    """Return settings with what was typed in the place of their own.

    Args:
        config: settings of a row.
        values: by their places, parts joined with dots.

    Raises:
        ValueError: when settings contradict each other.
    """
    own: dict[str, Any] = {}
    deeper: dict[str, dict[str, Any]] = {}
    for place, value in values.items():
        name, _, rest = place.partition(".")
        if rest:
            deeper.setdefault(name, {})[rest] = value
        else:
            own[name] = value
    if isinstance(config, NormConfig) and "name" in own:
        config = NormConfig()  # what the row changes of another normalisation says nothing of this one
    for name, below in deeper.items():
        own[name] = overridden(getattr(config, name), below)
    return dataclasses.replace(config, **own)


def _write(chosen: Experiment, found: Reproduction) -> None:
    (found.path / "table.txt").write_text(render(chosen, found), encoding="utf-8")


def render(chosen: Experiment, found: Reproduction) -> str:
    """Return the table as text, with what has to be said of it."""
    sources = list(dict.fromkeys(source for row in found.rows for source in row.row.expected))
    rows = (
        (
            row.label,
            *(_percent(row.row.expected.get(source)) for source in sources),
            "diverged" if row.failure else _percent(row.score),
            f"{len(row.history)}" if row.is_finished else f"{len(row.history)} of {row.of_epochs}",
            f"{row.seconds / 60:.1f}" if row.history else "-",
        )
        for row in found.rows
    )
    table = table_text(("run", *sources, "here", "epochs", "minutes"), rows)
    return f"{chosen.name}: {chosen.title}\n{table}{textwrap.fill(_caption(chosen, found), 100)}\n"


def _percent(score: float | None) -> str:
    return "-" if score is None else f"{score:.2f}"


def _caption(chosen: Experiment, found: Reproduction) -> str:
    parts = [f"Per cent on the {found.evaluated_on} images, after the last epoch." if found.evaluated_on else ""]
    parts.append(f"Expected: {chosen.head['Expected']} Spread: {chosen.head['Spread']}")
    if found.changes:
        parts.append(f"NOT the experiment's settings: {', '.join(found.changes)}.")
    parts += [f"{row.label}: {row.failure}." for row in found.rows if row.failure]
    return " ".join(part for part in parts if part)
