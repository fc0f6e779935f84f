"""``netdeconv compare``: one network with several normalisations, a table and a plot."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Suppress, arg

from netdeconv.cli.parser import UsageError, given, parse, value_of
from netdeconv.cli.report import page
from netdeconv.cli.reporting import reporters, table_text
from netdeconv.cli.runs import ClassificationRun, PixelData, SegmentationRun
from netdeconv.data.config import DataConfig
from netdeconv.data.views import Views
from netdeconv.models.norm_config import BATCH_NORM, NORM_NAMES, NormChanges, NormConfig
from netdeconv.tasks import TASKS, Segmentation
from netdeconv.training.config import NetworkConfig, OptimizerConfig

if TYPE_CHECKING:
    from netdeconv.experiments import Contender, Plan


# What one run can be told of its normalisation; here --variants say it.
@dataclasses.dataclass(frozen=True, kw_only=True)
class Network(NetworkConfig):
    """Which network."""

    pretrained: Suppress[bool] = False
    norm: Suppress[NormConfig] = dataclasses.field(default_factory=NormConfig)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer(OptimizerConfig):
    """How the weights are updated."""

    lr: Suppress[float] = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classified(ClassificationRun):
    """Image classification."""

    network: Network = Network()
    optimizer: Optimizer = Optimizer()
    seed: Suppress[int] = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Segmented(SegmentationRun):
    """Segmentation."""

    network: Network = Network()
    optimizer: Optimizer = Optimizer()
    seed: Suppress[int] = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Train one network with several normalisations: same first weights, seeds and budget.

    Args:
        task: classify or segment; the options of either: --task NAME --help.
        variants: normalisations; the others are compared with the first.
        lrs: learning rates that are tried for each on images cut from train; the best is trained with every seed.
        search_epochs: of the runs that are tried.
        seeds: of the final runs.
        resume: directory of a comparison to continue, with its settings.
        msg: show progress.
        whitening: What is changed of variants that whiten.
    """

    task: Literal["classify", "segment"] = "classify"
    variants: Annotated[tuple[str, ...], arg(metavar=f"{{{','.join(NORM_NAMES)}}} ...")] = (BATCH_NORM, "default")
    lrs: Annotated[tuple[float, ...], arg(aliases=("--lr",))] = (0.3, 0.1, 0.03, 0.01)
    search_epochs: int = 2
    seeds: Annotated[tuple[int, ...], arg(aliases=("--seed",))] = (0, 1, 2)
    resume: str | None = None
    msg: bool = True
    whitening: NormChanges = dataclasses.field(default_factory=NormChanges)
    # Finishes in two minutes on two cores. In smaller batches a step would cost more, against batch norm, than in use.
    config: Classified = Classified(
        data=DataConfig(dataset="digits", batch_size=128, validation_size=300),
        network=Network(width=0.25),
        epochs=3,
        recalibration=2,
        loggers=("csv", "tensorboard"),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationOptions(Options):
    """Train one segmentation network with several normalisations: same first weights, seeds and budget."""

    task: Literal["classify", "segment"] = "segment"
    config: Segmented = Segmented(  # type: ignore[assignment]
        data=PixelData(dataset="camvid", batch_size=8, validation_size=60),
        network=Network(arch="fcn_resnet18", width=0.25),
        optimizer=Optimizer(schedule="poly", weight_decay=1e-4),
        task=Segmentation(views=Views(size=(180, 240))),
        epochs=15,
        loggers=("csv", "tensorboard"),
    )


def options_of(arguments: Sequence[str]) -> Options:
    """Return what was typed."""
    kind = SegmentationOptions if value_of(arguments, "--task") == "segment" else Options
    usual = ("--variants", "--arch", "--width", "--dataset", "--epochs", "--batch-size", "--lrs", "--seeds", "--device")
    options = parse(kind, arguments, prog="netdeconv compare", default=kind(), usual=usual)
    for name in options.variants:
        NormConfig(name=name)
    if options.resume is not None:
        fixed = given(kind, arguments).keys() - {"resume", "msg", "task"}
        if fixed:
            first = min(fixed).rpartition(".")[2].replace("_", "-")
            raise UsageError(f"--resume keeps the settings of its comparison: leave --{first} out")
    return options


def main(arguments: Sequence[str]) -> int:
    """Search, train, print the table, say in words what it shows, and where everything is."""
    options = options_of(arguments)
    from netdeconv.experiments import contest, in_words

    chosen = _plan(options)
    with reporters(options.msg) as reporter:
        path = options.resume or options.config.result_path
        folder, found = contest(chosen, path, reporter=reporter, resume=options.resume is not None)
    text = render(chosen, found)
    (folder / "table.txt").write_text(text, encoding="utf-8")
    print(
        f"{text}curves, learning rates, settings, versions and measurements: {folder}\n{page(folder)}{in_words(found)}"
    )
    return 0


def _plan(options: Options) -> Plan:
    from netdeconv.experiments import Plan, read_plan
    from netdeconv.models.segmentation import segmentation_network

    if options.resume is not None:
        saved = read_plan(Path(options.resume), TASKS)
        if saved is None:
            raise UsageError(f"{options.resume} holds no comparison")
        return saved
    if options.task == "segment":  # a name that is unknown is said before data are looked for
        segmentation_network(options.config.network.arch)
    return Plan(
        base=options.config,
        names=options.variants,
        lrs=options.lrs,
        seeds=options.seeds,
        search_epochs=options.search_epochs,
        changes=options.whitening.changes(),
    )


def render(plan: Plan, found: Sequence[Contender]) -> str:
    """Return the table of a contest as text, with a caption that says what was done."""
    from netdeconv.viz.curves import in_words as score_in_words

    headings = (*(f"lr {lr:g}" for lr in plan.lrs), "best lr", f"test, {len(plan.seeds)} seeds", "ms/step", "s")
    rows = (
        (
            one.name,
            *(f"{one.searched[lr]:.1f}" if one.searched[lr] else "diverged" for lr in plan.lrs),
            f"{one.lr:g}",
            f"{one.mean:.2f} ± {one.spread:.2f}",
            f"{1000 * one.seconds_per_step:.0f}",
            f"{one.seconds:.1f}",
        )
        for one in found
    )
    table = table_text(("", *headings), rows, title=f"{score_in_words(plan.base.task.metric)} (%)")
    config, data = plan.base, plan.base.data
    caption = (
        f"{config.network.arch}, width {config.network.width:g}, {data.dataset}, batch {data.batch_size}, "
        f"{config.optimizer.name}. Learning rates: {plan.search_epochs} epochs, on {data.validation_size} images "
        f"cut from train. Then {config.epochs} epochs on all training images at the best rate, and the test images "
        "after the last. Seconds are of training alone, ms/step is a median."
    )
    return f"{table}{textwrap.fill(caption, 100)}\n"
