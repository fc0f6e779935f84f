"""Normalisations, each at the learning rate that suits it: a search on images cut from train, then final runs."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from netdeconv.experiments.running.families import norm_config
from netdeconv.experiments.running.rows import Failure, train_rows
from netdeconv.training import (
    Reporter,
    RunDirectory,
    RunResult,
    Silent,
    TrainingConfig,
    from_plain,
    read_config,
    to_plain,
)
from netdeconv.training.run_directory import CONFIG
from netdeconv.training.task import Task
from netdeconv.viz import curves, rate_map

SEARCH, FINAL = "search", "final"
# A rate counts as one at which a network trains when it loses at most so many points against its best.
NEAR = 4.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What a contest trains.

    Args:
        base: what all runs have in common; its validation images judge the learning rates.
        names: normalisations; the first is what the others are compared with.
        lrs: learning rates that are tried for each.
        seeds: of the final runs, on all training images.
        search_epochs: of the runs that are tried.
        changes: settings of :class:`netdeconv.models.NormConfig`, of those that whiten.
    """

    base: TrainingConfig
    names: tuple[str, ...]
    lrs: tuple[float, ...]
    seeds: tuple[int, ...]
    search_epochs: int
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.base.data.validation_size:
            raise ValueError("learning rates are chosen on images cut from the training set: set --validation-size")

    def run(self, name: str, **changes: Any) -> TrainingConfig:
        """The settings of one run."""
        lr = changes.pop("lr")
        network = dataclasses.replace(self.base.network, norm=norm_config(name, self.changes))
        optimizer = dataclasses.replace(self.base.optimizer, lr=lr)
        return dataclasses.replace(self.base, network=network, optimizer=optimizer, **changes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """What came of one normalisation.

    Args:
        name: of the normalisation.
        searched: score on the validation images by learning rate; 0 where the run diverged.
        lr: the best of them.
        scores: of the final runs, on the test images; one for each seed.
        seconds: of training of a final run, mean.
        seconds_per_step: median of the final runs.
    """

    name: str
    searched: Mapping[float, float]
    lr: float
    scores: tuple[float, ...]
    seconds: float
    seconds_per_step: float

    @property
    def mean(self) -> float:
        """Of the final scores."""
        return statistics.mean(self.scores)

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else 0.0

    @property
    def trains_at(self) -> int:
        """Learning rates at which it loses little against its best."""
        return sum(score >= max(self.searched.values()) - NEAR for score in self.searched.values())


def contest(
    plan: Plan, path: str | None, *, reporter: Callable[[str], Reporter] = lambda label: Silent(), resume: bool = False
) -> tuple[Path, list[Contender]]:
    """Search a learning rate for every normalisation, train each with it, and leave all in a directory.

    Args:
        plan: what is trained.
        path: the directory; ``None`` for a new one in ``runs``.
        reporter: who is told of a run's progress, by its label.
        resume: whether the directory holds a contest to continue.

    Returns:
        The directory, and what came of every normalisation.

    Raises:
        FloatingPointError: when a final run diverged.
    """
    with RunDirectory(path, name="compare", resume=resume) as directory:
        if not resume:
            directory.write_json(CONFIG, {"contest": dataclasses.asdict(plan) | {"base": to_plain(plan.base)}})
        tried = {(name, lr): plan.run(name, lr=lr, epochs=plan.search_epochs) for name in plan.names for lr in plan.lrs}
        runs = {f"{name} lr {lr:g}": config for (name, lr), config in tried.items()}
        found = train_rows(runs, directory.path / SEARCH, reporter=reporter)
        scores = [0.0 if isinstance(one, Failure) else one.score for _, one in found]
        by_pair = dict(zip(tried, scores, strict=True))
        searched = {name: {lr: by_pair[name, lr] for lr in plan.lrs} for name in plan.names}
        best = {name: max(by_rate, key=lambda lr: by_rate[lr]) for name, by_rate in searched.items()}
        everything = dataclasses.replace(plan.base.data, validation_size=0)
        runs = {
            f"{name} seed {seed}": plan.run(name, lr=best[name], seed=seed, data=everything)
            for seed in plan.seeds
            for name in plan.names
        }
        final: dict[str, list[RunResult]] = {name: [] for name in plan.names}
        for label, one in train_rows(runs, directory.path / FINAL, reporter=reporter):
            if isinstance(one, Failure):
                raise FloatingPointError(f"{label}: {one.message}")
            final[label.rpartition(" seed ")[0]].append(one)
        contenders = [
            Contender(
                name=name,
                searched=searched[name],
                lr=best[name],
                scores=tuple(one.score for one in own),
                seconds=statistics.mean(one.seconds for one in own),
                seconds_per_step=statistics.median(one.seconds_per_step for one in own),
            )
            for name, own in final.items()
        ]
        _draw(contenders, final, directory.path, plan.base)
        directory.write_json("summary.json", {"contenders": [dataclasses.asdict(one) for one in contenders]})
        return directory.path, contenders


def read_plan(path: Path, tasks: Mapping[str, type[Task]]) -> Plan | None:
    """Return what the contest in a directory trains; ``None``: it holds another comparison."""
    plain = read_config(path).get("contest")
    if plain is None:
        return None
    lists = {name: tuple(value) for name, value in plain.items() if isinstance(value, list)}
    return Plan(**plain | lists | {"base": from_plain(plain["base"], tasks)})


def in_words(contenders: Sequence[Contender]) -> str:
    """What this very run showed: wins and losses beyond the spread of the seeds, rates, seconds a step."""
    first, *others = contenders
    sentences = []
    for other in others:
        noise = 2 * ((first.spread**2 + other.spread**2) / max(1, len(first.scores))) ** 0.5
        difference = other.mean - first.mean
        if abs(difference) <= noise or len(first.scores) == 1:
            verdict = f"no difference beyond the noise of this run ({difference:+.2f} points, noise {noise:.2f})"
        else:
            verdict = f"{other.name} {'wins' if difference > 0 else 'loses'} by {abs(difference):.2f} points"
        rates = len(other.searched)
        sentences.append(
            f"{other.name} against {first.name}, each at its best rate: {verdict}. {other.name} trains at "
            f"{other.trains_at} of {rates} learning rates within {NEAR:g} points of its best, {first.name} at "
            f"{first.trains_at}. A step of {other.name} takes "
            f"{other.seconds_per_step / first.seconds_per_step:.2f} times as long."
        )
    return " ".join(sentences)


def _draw(
    contenders: Sequence[Contender], final: Mapping[str, Sequence[RunResult]], path: Path, base: TrainingConfig
) -> None:
    """The range of learning rates, and the curves of the final runs."""
    lines = [
        {"data": base.data.dataset, "normalisation": one.name, **{f"lr {lr:g}": s for lr, s in one.searched.items()}}
        for one in contenders
    ]
    rate_map(lines).savefig(path / "rates.png", dpi=120)
    histories = {name: [one.history for one in own] for name, own in final.items()}
    title = f"{base.network.arch} on {base.data.dataset}, each at its best learning rate"
    curves(histories, title=title, metric=base.task.metric).savefig(path / "curves.png", dpi=120)
