"""``netdeconv sweep``: learning rate and weight decay, searched on images cut from the training set."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from netdeconv.cli.argparser import Option, Parser, UsageError
from netdeconv.cli.recipe_options import RECIPE, recipe_config
from netdeconv.cli.reporting import reporters
from netdeconv.cli.train import FREE_WHEN_RESUMING, TABLES
from netdeconv.cli.typed import train_command
from netdeconv.experiments import Axis, Search, Space, search
from netdeconv.tasks import TASKS
from netdeconv.training import TrainingConfig, from_plain, read_config
from netdeconv.viz import Point, search_map

_DEFAULT = Space()
_RANGE = {"nargs": 2, "type": float, "metavar": ("LOWEST", "HIGHEST")}
_GRID = {"nargs": "+", "type": float, "metavar": "VALUE"}
OWN: dict[str, Option] = {
    "--lr-range": Option((_DEFAULT.lr.low, _DEFAULT.lr.high), "draw learning rates log-uniformly from here", _RANGE),
    "--wd-range": Option(
        (_DEFAULT.weight_decay.low, _DEFAULT.weight_decay.high), "draw weight decays log-uniformly from here", _RANGE
    ),
    "--lr-grid": Option(None, "try these learning rates instead", _GRID),
    "--wd-grid": Option(None, "try these weight decays instead; with --lr-grid: every pair", _GRID),
    "--trials": Option(None, "runs in all; else 20, or every pair of two grids", {"type": int}),
    "--prune": Option(False, "stop a run after an epoch in which its score is below the median of the others"),
    "--resume": Option("", "directory of a search to continue, with its settings; --trials may grow"),
}
_TRIALS = 20


def parser() -> Parser:
    """Return the parser of ``netdeconv sweep``."""
    built = Parser(
        prog="netdeconv sweep",
        description="Train one network with many learning rates and weight decays, judged by images that are cut from "
        "the training set: a tenth of it, unless --validation-size says how many. The other options are those of "
        "`netdeconv train`.",
    )
    for table in (OWN, RECIPE, *TABLES):
        built.add_options(table)
    return built


def main(arguments: Sequence[str]) -> int:
    """Search, print the table, the best pair as a command, and say where everything is."""
    options, given = parser().parse(arguments)
    if options.resume:
        base, space, notes, prune = _saved(options, given)
        path = options.resume
    else:
        base, space, prune = _base(options, given), _space(options), options.prune
        path = base.result_path
        notes = {"arguments": list(arguments), "trials": options.trials}
    base = dataclasses.replace(base, result_path=None)
    asked = options.trials if options.trials is not None else notes["trials"]
    trials = asked if asked is not None else len(space.grid() or range(_TRIALS))
    with reporters(options.msg) as reporter:
        found = search(
            base,
            space,
            path,
            trials=trials,
            prune=prune,
            notes=notes,
            resume=bool(options.resume),
            reporter=reporter,
            noted=functools.partial(_write, base),
        )
    print(render(found, base), end="")
    if found.best is not None:
        add = {"--lr": f"{found.best.lr:.3g}", "--wd": f"{found.best.weight_decay:.3g}"}
        drop = (*OWN, "--validation-size", "--result-path")
        print(train_command(notes["arguments"], drop=drop, add=add))
    print(f"runs, table and map: {found.path}")
    return 0


def _base(options: argparse.Namespace, given: set[str]) -> TrainingConfig:
    """What all trials share, with images to judge them by."""
    config = recipe_config(options, given - {flag.removeprefix("--").replace("-", "_") for flag in OWN})
    if "lr" in given or "wd" in given:
        raise UsageError(
            "a sweep chooses --lr and --wd: say where from with --lr-range, --lr-grid, --wd-range, --wd-grid"
        )
    if "validation_size" in given and config.data.validation_size == 0:
        raise UsageError("--validation-size 0 would choose by the test images")
    # Opened even where the size is known: what is wrong with the data is said before anything is written.
    tenth = _num_training_images(config) // 10
    size = config.data.validation_size or tenth
    return dataclasses.replace(config, data=dataclasses.replace(config.data, validation_size=size))


def _num_training_images(config: TrainingConfig) -> int:
    splits = config.task.open(config.data, seed=config.seed, device=torch.device("cpu"), shard=(0, 1))
    return int(getattr(splits.train, "num_samples", len(splits.train) * config.data.batch_size))


def _space(options: argparse.Namespace) -> Space:
    def axis(limits: Sequence[float], values: Sequence[float] | None) -> Axis:
        return Axis(low=limits[0], high=limits[1], values=None if values is None else tuple(values))

    return Space(lr=axis(options.lr_range, options.lr_grid), weight_decay=axis(options.wd_range, options.wd_grid))


def _saved(options: argparse.Namespace, given: set[str]) -> tuple[TrainingConfig, Space, dict[str, Any], bool]:
    """The settings of the search to continue, on this machine."""
    others = given - FREE_WHEN_RESUMING - {"trials"}
    if others:
        raise UsageError(f"--resume keeps the settings of its search: leave --{min(others).replace('_', '-')} out")
    saved = read_config(Path(options.resume))
    if "space" not in saved:
        raise UsageError(f"{options.resume} holds no search")
    base = from_plain(saved["run"], TASKS)
    free = {name: getattr(options, name) for name in ("threads",) if name in given}
    data = {name: getattr(options, name) for name in ("data_dir", "download") if name in given}
    base = dataclasses.replace(base, data=dataclasses.replace(base.data, **data), **free)
    space = Space(**{name: _axis(plain) for name, plain in saved["space"].items()})
    return base, space, saved["notes"], saved["prune"]


def _axis(plain: Mapping[str, Any]) -> Axis:
    values = plain["values"]
    return Axis(low=plain["low"], high=plain["high"], values=None if values is None else tuple(values))


def _write(base: TrainingConfig, found: Search) -> None:
    """The table and the map so far."""
    (found.path / "table.txt").write_text(render(found, base), encoding="utf-8")
    points = [Point(trial.lr, trial.weight_decay, trial.score, trial.state == "finished") for trial in found.trials]
    title = _subject(base)
    search_map(points, score=found.metric.replace("_", " "), title=title).savefig(found.path / "sweep.png", dpi=120)


def render(found: Search, base: TrainingConfig) -> str:
    """Return the table as text, the best first, with what has to be said of it."""
    metric = found.metric.replace("_", " ")
    table = Table()
    for heading in ("lr", "weight decay", f"{metric} (%)", "epochs", "", "run"):
        table.add_column(heading, justify="left" if heading in ("", "run") else "right")
    order = {"finished": 0, "pruned": 1, "diverged": 2}
    for trial in sorted(found.trials, key=lambda trial: (order[trial.state], -(trial.score or 0.0))):
        score = "-" if trial.score is None else f"{trial.score:.2f}"
        state = "" if trial.state == "finished" else trial.state
        table.add_row(f"{trial.lr:.3g}", f"{trial.weight_decay:.3g}", score, str(trial.epochs), state, trial.folder)
    buffer = io.StringIO()
    Console(file=buffer, width=1000, color_system=None).print(table)
    return (
        f"{_subject(base)}, {len(found.trials)} trials\n"
        f"{buffer.getvalue()}"
        f"Per cent of {base.data.validation_size} images cut from the training set; no test image was looked at.\n"
    )


def _subject(base: TrainingConfig) -> str:
    epochs = "1 epoch" if base.epochs == 1 else f"{base.epochs} epochs"
    return f"{base.network.arch} on {base.data.dataset}, {epochs}"
