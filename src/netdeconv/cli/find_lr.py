"""``netdeconv find-lr``: a range test of learning rates, its picture, and a suggestion."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.progress import Progress

from netdeconv.cli.parser import Option, Parser
from netdeconv.cli.recipe_options import RECIPE, recipe_config
from netdeconv.cli.train import TABLES
from netdeconv.cli.typed import train_command
from netdeconv.experiments import RangeTest, RateCurve, find_rate
from netdeconv.training import RunDirectory, TrainingConfig, to_plain
from netdeconv.viz import rate_curve

_DEFAULT = RangeTest()
OWN: dict[str, Option] = {
    "--lowest-lr": Option(_DEFAULT.lowest, "first learning rate"),
    "--highest-lr": Option(_DEFAULT.highest, "last learning rate"),
    "--steps": Option(None, "rates; else one pass over the training images, at most 150 steps", {"type": int}),
    "--repeats": Option(_DEFAULT.repeats, "passes from the same weights; their median counts"),
}


def parser() -> Parser:
    """Return the parser of ``netdeconv find-lr``."""
    built = Parser(
        prog="netdeconv find-lr",
        description="Let the learning rate grow from step to step and watch the training loss. Nothing is kept but a "
        "picture and the numbers, and no evaluation image is looked at. The other options are those of "
        "`netdeconv train`.",
    )
    for table in (OWN, RECIPE, *TABLES):
        built.add_options(table)
    return built


def main(arguments: Sequence[str]) -> int:
    """Test, draw, suggest."""
    options, given = parser().parse(arguments)
    config = recipe_config(options, given - {flag.removeprefix("--").replace("-", "_") for flag in OWN})
    test = RangeTest(lowest=options.lowest_lr, highest=options.highest_lr, steps=options.steps, repeats=options.repeats)
    name = f"find-lr-{config.network.arch.replace('/', '-')}-{config.data.dataset}"
    with RunDirectory(config.result_path, name=name) as directory:
        with _progress(options.msg) as told:
            curve, surroundings = find_rate(config, test, told=told)
        directory.write_json("find-lr.json", _plain(curve))
        _draw(curve, config).savefig(directory.path / "find-lr.png", dpi=120)
        directory.begin({"find_lr": dataclasses.asdict(test), "run": to_plain(config)}, surroundings)
        print(describe(curve))
        if curve.suggestion is not None:
            drop = (*OWN, "--result-path")
            print(train_command(arguments, drop=drop, add={"--lr": f"{curve.suggestion:.2g}"}))
        print(f"curve and numbers: {directory.path}")
    return 0


def describe(curve: RateCurve) -> str:
    """Say in sentences what the curve suggests."""
    if curve.suggestion is None:
        return f"no learning rate to suggest: {curve.reason}"
    diverges = (
        "it diverges at none of the rates" if curve.divergence is None else f"divergence at {curve.divergence:.2g}"
    )
    return (
        f"suggested learning rate {curve.suggestion:.2g}: {curve.reason}\n"
        f"steepest descent at {curve.steepest:.2g}, smallest loss at {curve.best:.2g}, {diverges}"
    )


def _draw(curve: RateCurve, config: TrainingConfig) -> Any:
    marks = {
        "steepest descent": curve.steepest,
        "smallest loss": curve.best,
        "divergence": curve.divergence,
        "suggestion": curve.suggestion,
    }
    title = f"{config.network.arch} on {config.data.dataset}, batch {config.data.batch_size}, {config.optimizer.name}"
    return rate_curve(curve.rates, curve.passes, curve.losses, marks, title=title)


def _plain(curve: RateCurve) -> dict[str, Any]:
    """The curve for JSON, which knows no infinity."""
    plain = dataclasses.asdict(curve)
    plain["passes"] = [[loss if math.isfinite(loss) else None for loss in own] for own in curve.passes]
    return plain


@contextlib.contextmanager
def _progress(show: bool) -> Iterator[Callable[[int, int, float], None]]:
    """Give what is told of every step: a bar in a terminal, a line now and then elsewhere."""
    if not show:
        yield lambda done, total, loss: None
    elif (console := Console()).is_terminal:
        with Progress(console=console) as progress:
            task = progress.add_task("trying learning rates")
            yield lambda done, total, loss: progress.update(task, completed=done, total=total)
    else:

        def line(done: int, total: int, loss: float) -> None:
            if done % 50 == 0:
                print(f"step {done}/{total}  loss {loss:.4f}", flush=True)

        yield line
