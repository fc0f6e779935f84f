"""``netdeconv compare``: one network with several normalisations, a table and a plot."""

from __future__ import annotations

import argparse
import dataclasses
import io
import textwrap
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from netdeconv.cli import options as tables
from netdeconv.cli.argparser import Option, Parser, UsageError
from netdeconv.cli.normalisation import changes
from netdeconv.cli.report import page
from netdeconv.cli.reporting import reporters
from netdeconv.cli.settings import base_config
from netdeconv.experiments import Comparison, Contender, Plan, compare, contest, in_words, plan, read_plan
from netdeconv.lookup import look_up
from netdeconv.models import BATCH_NORM, NORMALISATIONS
from netdeconv.tasks import TASKS, Segmentation
from netdeconv.training import TrainingConfig, from_plain, read_config
from netdeconv.viz.curves import in_words as score_in_words

# A network and a number of epochs that finish in two minutes on two cores.
SMALLER = {"--width": 0.5, "--epochs": 3, "--batch-size": 64, "--validation-size": 300, "--recalibration": 4}
OWN: dict[str, Option] = {
    "--variants": Option(["batch_norm", "default"], f"of {', '.join(NORMALISATIONS)}", {"nargs": "+", "type": str}),
    "--lrs": Option(
        [0.3, 0.1, 0.03, 0.01],
        "learning rates that are tried for each on images cut from train; the best is trained with every seed",
        {"nargs": "+", "type": float},
    ),
    "--search-epochs": Option(2, "of the runs that are tried"),
    "--seeds": Option([0, 1, 2], "of the final runs", {"nargs": "+", "type": int}),
    "--bn-lr": Option(
        None,
        "no search: networks that whiten nothing run with these rates, the others with --lr, on the test images",
        {"nargs": "+", "type": float},
    ),
    "--resume": Option("", "directory of a comparison to continue, with its settings"),
}
CLASSIFY, SEGMENT = "classify", "segment"
# Which tasks can be compared, with what else is different about their options.
TASK_DEFAULTS: dict[str, dict[str, Any]] = {
    CLASSIFY: SMALLER,
    SEGMENT: {
        **{"--variants": ["batch_norm", "default", "channel", "full16"], "--bn-lr": [0.1, 0.02]},
        **{"--dataset": "camvid", "--model": "fcn_resnet18", "--width": 0.25, "--size": "240x180"},
        **{"--epochs": 15, "--batch-size": 8},
    },
}
TASK = {"--task": Option(CLASSIFY, f"{' or '.join(TASK_DEFAULTS)}; the options of either: --task NAME --help")}
# What one run can be told of its normalisation; here --variants say it.
_ONE_RUN = {flag: option.default for flag, option in tables.STRUCTURE.items()}
_COLUMNS_OF_EPOCHS = 10


def parser(task: str = CLASSIFY) -> Parser:
    """Return the parser of ``netdeconv compare``.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when no such task can be compared.
    """
    defaults = look_up("task", task, TASK_DEFAULTS)
    built = Parser(
        prog="netdeconv compare",
        description="Train one network with several normalisations: same first weights, seed and budget.",
    )
    choice = {"--task": dataclasses.replace(TASK["--task"], default=task)}
    own = tables.rest(OWN, (), defaults)
    if task == SEGMENT:
        # Only when it is asked for: it imports torchvision.
        from netdeconv.cli.segmentation_options import add_options

        add_options(built, {**choice, **own}, defaults, without=_ONE_RUN)
        return built
    built.add_options({**choice, **own})
    for table in (tables.dataset("digits"), tables.NETWORK, tables.TRAINING, tables.WHITENING):
        built.add_options(tables.rest(table, (), defaults))
    built.add_options(tables.rest(tables.DATA, (), defaults))
    built.add_options(tables.rest(tables.MACHINE, (), defaults))
    return built


def task_of(arguments: Sequence[str]) -> str:
    """Return the task that was typed, which decides what else can be typed."""
    probe = Parser(prog="netdeconv compare", add_help=False)
    probe.add_options(TASK)
    return str(probe.parse_known_args(list(arguments))[0].task)


def _base(options: argparse.Namespace) -> TrainingConfig:
    if options.task != SEGMENT:
        return base_config(options)
    from netdeconv.cli.segmentation_options import segmentation_base

    config = segmentation_base(options)
    if options.named_converted:
        raise UsageError(f"{options.model!r} names one normalisation: --variants says which ones, --model is without d")
    return config


def main(arguments: Sequence[str]) -> int:
    """Compare as the arguments say, print the table, and say where everything is."""
    options, given = parser(task_of(arguments)).parse(arguments)
    saved = read_plan(Path(options.resume), TASKS) if options.resume else None
    if saved is not None or (not options.resume and options.bn_lr is None):
        return _contest(options, saved or _plan(options, given))
    if options.resume:
        runs = _saved_runs(options.resume)
        path = options.resume
    else:
        runs = plan(
            _base(options),
            options.variants,
            changes=changes(options, given),
            baseline_lrs=options.bn_lr,
        )
        path = options.result_path
    with reporters(options.msg) as reporter:
        comparison = compare(runs, path, reporter=reporter, resume=bool(options.resume))
    text = render(comparison, runs)
    (comparison.path / "table.txt").write_text(text, encoding="utf-8")
    print(text, end="")
    finished = any(not row.failure for row in comparison.rows)
    print(f"{'curves, ' if finished else ''}settings, versions and measurements: {comparison.path}")
    return 0 if finished else 1


def _plan(options: argparse.Namespace, given: Collection[str]) -> Plan:
    return Plan(
        base=_base(options),
        names=tuple(options.variants),
        lrs=tuple(options.lrs),
        seeds=tuple(options.seeds),
        search_epochs=options.search_epochs,
        changes=changes(options, given),
    )


def _contest(options: argparse.Namespace, plan: Plan) -> int:
    """Search, train, print the table, say in words what it shows, and where everything is."""
    with reporters(options.msg) as reporter:
        path = options.resume or options.result_path
        folder, found = contest(plan, path, reporter=reporter, resume=bool(options.resume))
    text = render_contest(plan, found)
    (folder / "table.txt").write_text(text, encoding="utf-8")
    print(
        f"{text}curves, learning rates, settings, versions and measurements: {folder}\n{page(folder)}{in_words(found)}"
    )
    return 0


def render_contest(plan: Plan, found: Sequence[Contender]) -> str:
    """Return the table of a contest as text, with a caption that says what was done."""
    metric = score_in_words(plan.base.task.metric)
    table = Table(title=f"{metric} (%)", title_justify="left")
    for heading in (
        "",
        *(f"lr {lr:g}" for lr in plan.lrs),
        "best lr",
        f"test, {len(plan.seeds)} seeds",
        "ms/step",
        "s",
    ):
        table.add_column(heading, justify="right" if heading else "left")
    for one in found:
        table.add_row(
            one.name,
            *(f"{one.searched[lr]:.1f}" if one.searched[lr] else "diverged" for lr in plan.lrs),
            f"{one.lr:g}",
            f"{one.mean:.2f} ± {one.spread:.2f}",
            f"{1000 * one.seconds_per_step:.0f}",
            f"{one.seconds:.1f}",
        )
    buffer = io.StringIO()
    Console(file=buffer, width=1000, color_system=None).print(table)
    config, data = plan.base, plan.base.data
    caption = (
        f"{config.network.arch}, width {config.network.width:g}, {data.dataset}, batch {data.batch_size}, "
        f"{config.optimizer.name}. Learning rates: {plan.search_epochs} epochs, on {data.validation_size} images "
        f"cut from train. Then {config.epochs} epochs on all training images at the best rate, and the test images "
        "after the last. Seconds are of training alone, ms/step is a median."
    )
    return f"{buffer.getvalue()}{textwrap.fill(caption, 100)}\n"


def _saved_runs(folder: str) -> dict[str, TrainingConfig]:
    return {label: from_plain(plain, TASKS) for label, plain in read_config(Path(folder)).get("runs", {}).items()}


def render(comparison: Comparison, runs: Mapping[str, TrainingConfig]) -> str:
    """Return the table as text, with a caption that says what was compared."""
    epochs = next(iter(runs.values())).epochs
    shown = [epoch for epoch in range(1, epochs + 1) if _is_shown(epoch, epochs)]
    title = f"{comparison.evaluated_on} {score_in_words(comparison.metric)} (%) after every epoch"
    table = Table(title=title, title_justify="left")
    for heading in ("run", "lr", *map(str, shown), "final", "ms/step", "s", "s to batch norm's best"):
        table.add_column(heading, justify="left" if heading == "run" else "right")
    for row in comparison.rows:
        reached = row.seconds_to_baseline
        table.add_row(
            row.label.partition(" lr ")[0],
            f"{row.lr:g}",
            *(f"{row.scores[epoch - 1]:.1f}" if epoch <= len(row.scores) else "-" for epoch in shown),
            "diverged" if row.failure else f"{row.scores[-1]:.2f}",
            "-" if row.seconds_per_step is None else f"{1000 * row.seconds_per_step:.0f}",
            "-" if row.seconds is None else f"{row.seconds:.1f}",
            "-" if comparison.baseline is None else "not reached" if reached is None else f"{reached:.1f}",
        )
    buffer = io.StringIO()
    # Wide enough for any table: it takes the width that it needs, whatever the terminal's is.
    Console(file=buffer, width=1000, color_system=None).print(table)
    return f"{buffer.getvalue()}{textwrap.fill(caption(comparison, runs), 100)}\n"


def _is_shown(epoch: int, epochs: int) -> bool:
    every = -(-epochs // _COLUMNS_OF_EPOCHS)
    return epoch % every == 0 or epoch == 1


def _size(config: TrainingConfig) -> str:
    """At which size images are segmented, where that was asked for."""
    size = config.task.views.size if isinstance(config.task, Segmentation) else None
    return f" at {size[1]}x{size[0]}" if size else ""


def caption(comparison: Comparison, runs: Mapping[str, TrainingConfig]) -> str:
    """Say what was compared, in sentences."""
    config = next(iter(runs.values()))
    tried = [row.lr for row in comparison.rows if runs[row.label].network.norm.name == BATCH_NORM]
    optimizer, data, network = config.optimizer, config.data, config.network
    text = (
        f"{network.arch}, width {network.width:g}, {data.dataset}{_size(config)}, {config.epochs} epochs, "
        f"batch {data.batch_size}, {optimizer.name}, weight decay {optimizer.weight_decay:g}, "
        f"{optimizer.schedule} schedule, seed {config.seed}. "
        "Seconds are of training alone, ms/step is a median."
    )
    if comparison.baseline is not None:
        text += (
            f" Batch norm was run with lr {' and '.join(f'{lr:g}' for lr in tried)}; "
            f"its best {score_in_words(comparison.metric)} after any epoch is {comparison.baseline:.2f} %."
        )
    failures = [f"{row.label}: {row.failure}." for row in comparison.rows if row.failure]
    text += " " + " ".join(failures) if failures else ""
    return text
