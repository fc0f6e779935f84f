"""A search over learning rate and weight decay, on images cut from the training set. Without torch, for ``--help``."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from netdeconv.experiments.running.experiment import Experiment, ExperimentRow, Reproduced, Rows
from netdeconv.training.config import TrainingConfig, replaced


@dataclasses.dataclass(frozen=True, kw_only=True)
class Space:
    """What is searched: ranges, in which values are drawn log-uniformly, or lists.

    Args:
        lr_range: draw learning rates log-uniformly from here.
        wd_range: draw weight decays log-uniformly from here.
        lr_grid: try these learning rates instead.
        wd_grid: try these weight decays instead; with lr_grid: every pair.

    Raises:
        ValueError: when a number is out of range.
    """

    lr_range: tuple[float, float] = (1e-3, 1.0)
    wd_range: tuple[float, float] = (1e-5, 1e-2)
    lr_grid: tuple[float, ...] | None = None
    wd_grid: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for low, high in (self.lr_range, self.wd_range):
            if not 0 < low < high < math.inf:
                raise ValueError(f"a range must be 0 < lowest < highest, got {low} and {high}")
        for values in (self.lr_grid, self.wd_grid):
            if values is not None and (not values or not all(0 <= value < math.inf for value in values)):
                raise ValueError(f"a grid needs values that are not negative, got {values}")

    def pairs(self) -> list[tuple[float, float]] | None:
        """All trials, where both are lists."""
        return list(itertools.product(self.lr_grid, self.wd_grid)) if self.lr_grid and self.wd_grid else None


def search(base: TrainingConfig, space: Space, trials: int) -> Experiment:
    """Return the experiment that trains so many pairs of learning rate and weight decay.

    A grid's pairs come in their order. From ranges optuna proposes every next pair by what those before reached; it is
    seeded by their number, so that an interrupted search goes on to what it would have been.

    Args:
        base: what all trials have in common; its data say how many images are cut from the training set.
        space: what is searched.
        trials: how many, those of earlier sittings included; a grid has no more than its pairs.

    Raises:
        ValueError: when the trials would be judged by test images, or a number is out of range.
    """
    if base.data.validation_size == 0:
        raise ValueError(
            "a search chooses settings, which test images must not do: "
            "cut images for it from the training set with --validation-size"
        )
    if trials < 1:
        raise ValueError(f"trials must be at least 1, got {trials}")
    proposals: list[tuple[float, float]] = space.pairs() or []
    trials = min(trials, len(proposals) or trials)

    def row(number: int) -> Rows:
        lr, decay = proposals[number]
        config = replaced(base, {"optimizer.lr": lr, "optimizer.weight_decay": decay})
        return {f"trial-{number:03d} lr {lr:.2g} wd {decay:.2g}": ExperimentRow(config=config)}

    def then(found: Mapping[str, Reproduced]) -> Rows:
        done = [run for run in found.values() if run.is_finished or run.failure]
        if len(done) < len(found) or len(done) >= trials:
            return {}
        if len(done) == len(proposals):
            proposals.append(_proposed(space, done, base.seed + 1000 * len(done)))
        return row(len(done))

    return Experiment(
        name=f"sweep-{base.network.arch.replace('/', '-')}-{base.data.dataset}",
        title=f"{base.network.arch} on {base.data.dataset}, learning rate and weight decay",
        rows=then({}),
        then=then,
        summarise=lines,
    )


def lines(runs: Sequence[Reproduced]) -> list[dict[str, Any]]:
    """One line for every trial that is done, the best first; those that diverged last."""
    found = [run.searched_line() for run in runs if run.is_finished or run.failure]
    return sorted(found, key=lambda line: (line["state"] != "finished", -(line["score"] or 0.0)))


def _proposed(space: Space, done: Sequence[Reproduced], seed: int) -> tuple[float, float]:
    import optuna

    axes = {"lr": (space.lr_range, space.lr_grid), "weight_decay": (space.wd_range, space.wd_grid)}
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.FloatDistribution(*limits, log=True)
        if values is None
        else optuna.distributions.CategoricalDistribution(values)
        for name, (limits, values) in axes.items()
    }
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    for run in done:  # no score is worse than 0, and the search learns to keep away
        value = 0.0 if run.failure else run.score
        params = {name: getattr(run.row.config.optimizer, name) for name in axes}
        study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=value))
    chosen = study.ask(distributions).params
    return chosen["lr"], chosen["weight_decay"]
