"""``netdeconv compare``: one network with several normalisations, a table and a plot."""

from __future__ import annotations

import argparse
import dataclasses
import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from netdeconv.cli import options as tables
from netdeconv.cli.normalisation import changes
from netdeconv.cli.parser import Option, Parser, UsageError
from netdeconv.cli.reporting import reporters
from netdeconv.cli.settings import base_config
from netdeconv.experiments import Comparison, compare, plan
from netdeconv.lookup import look_up
from netdeconv.models import BATCH_NORM, NORMALISATIONS
from netdeconv.tasks import TASKS, Segmentation
from netdeconv.training import TrainingConfig, from_plain, read_config
from netdeconv.viz.curves import in_words

# A network and a number of epochs that three variants finish in a minute on two cores.
SMALLER = {"--width": 0.25, "--epochs": 8, "--batch-size": 64}
OWN: dict[str, Option] = {
    "--variants": Option(
        ["batch_norm", "default", "paper"], f"of {', '.join(NORMALISATIONS)}", {"nargs": "+", "type": str}
    ),
    "--bn-lr": Option(
        [0.1, 0.02],
        "of networks whose inputs are not whitened, one run each, batch norm's best counts: the paper's, and "
        "what did best on validation images",
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
    built.add_options(tables.DATA)
    built.add_options(tables.MACHINE)
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


def _saved_runs(folder: str) -> dict[str, TrainingConfig]:
    return {label: from_plain(plain, TASKS) for label, plain in read_config(Path(folder)).get("runs", {}).items()}


def render(comparison: Comparison, runs: Mapping[str, TrainingConfig]) -> str:
    """Return the table as text, with a caption that says what was compared."""
    epochs = next(iter(runs.values())).epochs
    shown = [epoch for epoch in range(1, epochs + 1) if _is_shown(epoch, epochs)]
    title = f"{comparison.evaluated_on} {in_words(comparison.metric)} (%) after every epoch"
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
            f"its best {in_words(comparison.metric)} after any epoch is {comparison.baseline:.2f} %."
        )
    failures = [f"{row.label}: {row.failure}." for row in comparison.rows if row.failure]
    text += " " + " ".join(failures) if failures else ""
    return text
