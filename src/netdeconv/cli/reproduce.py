"""``netdeconv reproduce``: a published experiment, or rows of it, beside the numbers that are expected."""

from __future__ import annotations

import argparse
import functools
import io
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from netdeconv.cli.argparser import Option, Parser
from netdeconv.cli.recipe_options import overridden
from netdeconv.cli.reporting import reporters
from netdeconv.cli.train import TABLES
from netdeconv.experiments import Experiment, Reproduced, Reproduction, experiment, export, reproduce

# They change no number of a run.
_HARMLESS = {"data_dir", "download", "device", "threads", "msg", "num_workers", "loggers", "result_path", "no_verify"}


def parser() -> Parser:
    """Return the parser of ``netdeconv reproduce``."""
    built = Parser(
        prog="netdeconv reproduce",
        description="Run an experiment's rows into one directory, runs/NAME unless --result-path names another, and "
        "print what they give beside what is expected. Given again, the command continues. The options are those of "
        "`netdeconv train`: one that is not given is the experiment's own, whatever default is shown.",
    )
    built.add_argument("name", help="see `netdeconv list experiments`")
    built.add_argument("rows", nargs="*", help="labels or patterns of rows, such as 'vgg16*'; else all")
    built.add_options({"--export": Option("", "write the table of what was trained as a results file")})
    for table in TABLES:
        built.add_options(table)
    return built


def main(arguments: Sequence[str]) -> int:
    """Run the rows, print the table, and say where everything is."""
    options, given = parser().parse(arguments)
    chosen = experiment(options.name)
    path = Path(options.result_path or Path("runs") / chosen.name)
    with reporters(options.msg) as reporter:
        found = reproduce(
            chosen,
            options.rows,
            path,
            override=lambda config: overridden(config, options, given - {"result_path", "export"}),
            changes=_changes(options, given),
            reporter=reporter,
            noted=functools.partial(_write, chosen),
        )
    _write(chosen, found)
    print(render(chosen, found), end="")
    if options.export:
        print(f"table: {export(chosen, found, arguments, options.export)}")
    print(f"settings, versions and measurements: {found.path}")
    chosen_rows = chosen.select(options.rows, [row.label for row in found.rows])
    return 1 if any(row.failure for row in found.rows if row.label in chosen_rows) else 0


def _changes(options: argparse.Namespace, given: set[str]) -> list[str]:
    """Options that were typed and change the numbers, as they would be typed again."""
    named = sorted(given - _HARMLESS - {"name", "rows", "export"})
    return [f"--{name.replace('_', '-')} {shlex.quote(str(getattr(options, name)))}" for name in named]


def _write(chosen: Experiment, found: Reproduction) -> None:
    (found.path / "table.txt").write_text(render(chosen, found), encoding="utf-8")


def render(chosen: Experiment, found: Reproduction) -> str:
    """Return the table as text, with what has to be said of it."""
    sources = list(dict.fromkeys(source for row in found.rows for source in row.expected))
    table = Table()
    for heading in ("run", *sources, "here", "epochs", "minutes"):
        table.add_column(heading, justify="left" if heading == "run" else "right")
    for row in found.rows:
        table.add_row(
            row.label,
            *(_percent(row.expected.get(source)) for source in sources),
            "diverged" if row.failure else _percent(row.score),
            f"{row.epochs}" if row.epochs == row.of_epochs else f"{row.epochs} of {row.of_epochs}",
            f"{row.minutes:.1f}" if row.epochs else "-",
        )
    buffer = io.StringIO()
    # Wide enough for any table: it takes the width that it needs, whatever the terminal's is.
    Console(file=buffer, width=1000, color_system=None).print(table)
    return f"{chosen.name}: {chosen.title}\n{buffer.getvalue()}{textwrap.fill(_caption(chosen, found), 100)}\n"


def _percent(score: float | None) -> str:
    return "-" if score is None else f"{score:.2f}"


def _caption(chosen: Experiment, found: Reproduction) -> str:
    parts = [f"Per cent on the {found.evaluated_on} images, after the last epoch." if found.evaluated_on else ""]
    parts.append(f"Expected: {chosen.head['Expected']} Spread: {chosen.head['Spread']}")
    if found.changes:
        parts.append(f"NOT the experiment's settings: {', '.join(found.changes)}.")
    parts += [_failed(row) for row in found.rows if row.failure]
    return " ".join(part for part in parts if part)


def _failed(row: Reproduced) -> str:
    return f"{row.label}: {row.failure}."
