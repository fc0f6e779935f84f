"""``netdeconv sweep``: learning rate and weight decay, searched on images cut from the training set."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netdeconv.cli import runs
from netdeconv.cli.parser import UsageError, flags, typed
from netdeconv.cli.reporting import lines_text
from netdeconv.cli.runs import USUAL, require_known, settings
from netdeconv.cli.train import DEFAULT as TRAIN
from netdeconv.experiments.running.search import Space, search
from netdeconv.training.config import replaced
from netdeconv.training.progress import reporters

if TYPE_CHECKING:
    from netdeconv.experiments.running.runner import Reproduction

_TRIALS = 20
_OWN = ("trials", "config.data.validation_size", "config.result_path")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(runs.Options):
    """Train one network with many learning rates and weight decays, judged by images cut from the training set.

    Given again with the same result_path, the command continues; trials may grow.

    Args:
        space: What is searched.
        trials: runs in all; else 20, or every pair of two grids.
    """

    space: Space = dataclasses.field(default_factory=Space)
    trials: int | None = None


DEFAULT = Options(config=TRAIN.config)


def options_of(arguments: Sequence[str]) -> Options:
    """Return what was typed.

    Raises:
        ValueError: when options contradict each other.
    """
    usual = (*USUAL[:5], "--lr-range", "--lr-grid", "--wd-range", "--wd-grid", "--trials", *USUAL[9:])
    options, said = settings(arguments, DEFAULT, prog="netdeconv sweep", usual=usual)
    if {"config.optimizer.lr", "config.optimizer.weight_decay"} & said.keys():
        raise UsageError(
            "a sweep chooses --lr and --wd: say where from with --lr-range, --lr-grid, --wd-range, --wd-grid"
        )
    if "config.data.validation_size" in said and options.config.data.validation_size == 0:
        raise UsageError("--validation-size 0 would choose by the test images")
    return options


def main(arguments: Sequence[str]) -> int:
    """Search, print the table, the best pair as a command, and say where everything is."""
    options = options_of(arguments)
    import optuna
    import torch

    from netdeconv.experiments.running.runner import reproduce

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    config = options.config
    require_known(config)
    # Opened even where the size is known: what is wrong with the data is said before anything is written.
    splits = config.task.open(config.data, seed=config.seed, device=torch.device("cpu"), shard=(0, 1))
    size = config.data.validation_size or splits.train.num_samples // 10
    trials = options.trials if options.trials is not None else len(options.space.pairs() or range(_TRIALS))
    chosen = search(replaced(config, {"data.validation_size": size}), options.space, trials)
    with reporters(options.msg) as reporter:
        found = reproduce(chosen, (), config.result_path, reporter=reporter, render=render)
    print(render(found), end="")
    best = next((line for line in found.lines() if line["state"] == "finished"), None)
    if best is not None:
        print(train_command(arguments, lr=best["lr"], weight_decay=best["weight decay"]))
    print(f"runs and table: {found.path}")
    return 0


def train_command(arguments: Sequence[str], *, lr: float, weight_decay: float) -> str:
    """Return ``netdeconv train`` with what was typed of the run, and a pair that was found."""
    line = typed(arguments, flags(DEFAULT))
    own = [each for each in line if each.flag and (each.flag.place in _OWN or each.flag.place.startswith("space."))]
    kept = [word for each in line if each not in own for word in each.words]
    return shlex.join(["netdeconv", "train", *kept, "--lr", f"{lr:.3g}", "--wd", f"{weight_decay:.3g}"])


def render(found: Reproduction) -> str:
    """Return the table as text, the best first, with what has to be said of it."""
    config = next(iter(found.experiment.rows.values())).config
    title = f"{found.experiment.title}: {config.task.metric.replace('_', ' ')} (%)"
    caption = (
        f"Per cent of {config.data.validation_size} images cut from the training set, after {config.epochs} epochs; "
        "no test image was looked at.\n"
    )
    return lines_text(title, found.lines()) + caption
