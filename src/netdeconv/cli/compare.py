"""``netdeconv compare``: one network with several normalisations, a table and a plot."""

from __future__ import annotations

import dataclasses
import functools
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netdeconv.cli import runs
from netdeconv.cli.parser import UsageError
from netdeconv.cli.report import page
from netdeconv.cli.reporting import lines_text
from netdeconv.cli.runs import require_known, settings
from netdeconv.data.config import DataConfig
from netdeconv.experiments.running.contest import Contest, Plan, in_words
from netdeconv.models.norm_config import NormConfig
from netdeconv.tasks import Classification
from netdeconv.training.config import NetworkConfig, TrainingConfig
from netdeconv.training.progress import reporters

if TYPE_CHECKING:
    from netdeconv.experiments.running.runner import Reproduction


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(runs.Options):
    """Train one network with several normalisations: same first weights, seeds and budget.

    Given again with the same result_path, the command continues.

    Args:
        contest: What is compared.
    """

    contest: Contest = dataclasses.field(default_factory=Contest)


# Finishes in two minutes on two cores. In smaller batches a step would cost more, against batch norm, than in use.
DEFAULT = Options(
    config=TrainingConfig(
        task=Classification(),
        data=DataConfig(dataset="digits", batch_size=128, validation_size=300),
        # The variants stand for its norm: options of the whitening say something of those that whiten.
        network=NetworkConfig(width=0.25, norm=NormConfig(name="default")),
        epochs=3,
        recalibration=2,
        loggers=("csv", "tensorboard"),
    )
)
_INSTEAD = {"network.norm.name": "--variants", "optimizer.lr": "--lrs", "seed": "--seeds"}


def options_of(arguments: Sequence[str]) -> Options:
    """Return what was typed."""
    usual = ("--variants", "--arch", "--width", "--dataset", "--epochs", "--batch-size", "--lrs", "--seeds", "--device")
    options, said = settings(arguments, DEFAULT, prog="netdeconv compare", usual=usual)
    for place, instead in _INSTEAD.items():
        if f"config.{place}" in said:
            raise UsageError(f"a comparison has several: {instead} instead of {said[f'config.{place}']}")
    for name in options.contest.variants:
        NormConfig(name=name)
    return options


def main(arguments: Sequence[str]) -> int:
    """Search, train, print the table, say in words what it shows, and where everything is."""
    options = options_of(arguments)
    from netdeconv.experiments.running.runner import reproduce

    require_known(options.config)
    plan = Plan(options.config, options.contest)
    with reporters(options.msg) as reporter:
        write = functools.partial(render, plan)
        found = reproduce(plan.experiment(), (), options.config.result_path, reporter=reporter, render=write)
    failed = [row for row in found.rows if row.failure and ", search" not in row.label]
    lines = [line for line in found.lines() if line["seeds"]]
    if failed or len(lines) < len(plan.called):
        row = (failed or [row for row in found.rows if row.failure])[0]
        raise FloatingPointError(f"{row.label}: {row.failure}")
    _draw(plan, found)
    print(
        f"{render(plan, found)}curves, learning rates, settings, versions and measurements: {found.path}\n"
        f"{page(found.path)}{in_words(lines)}"
    )
    return 0


def render(plan: Plan, found: Reproduction) -> str:
    """Return the table of a comparison as text, with a caption that says what was done."""
    config, data, tried = plan.base, plan.base.data, plan.contest.search_epochs
    table = lines_text("accuracy (%)", found.lines())
    caption = (
        f"{config.network.arch}, width {config.network.width:g}, {data.dataset}, batch {data.batch_size}, "
        f"{config.optimizer.name}. Learning rates: {tried} epochs, on {data.validation_size} images "
        f"cut from train; 0: diverged. Then {config.epochs} epochs on all training images at the best rate, and the "
        "test images after the last. Seconds are of training alone, ms/step is a median."
    )
    return f"{table}{textwrap.fill(caption, 100)}\n"


def _draw(plan: Plan, found: Reproduction) -> None:
    """The range of learning rates, and the curves of the final runs."""
    from netdeconv.viz import curves, rate_map

    rate_map(found.lines()).savefig(found.path / "rates.png", dpi=120)
    final = {name: [row for row in found.rows if row.label.startswith(f"{name}, seed")] for name in plan.called}
    histories = {name: [row.history for row in own] for name, own in final.items()}
    figure = curves(histories, title=found.experiment.title, metric=plan.base.task.metric)
    figure.savefig(Path(found.path) / "curves.png", dpi=120)
