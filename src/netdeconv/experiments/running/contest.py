"""Normalisations, each at the learning rate that suits it: a search on images cut from train, then final runs."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from netdeconv.experiments.running.comparison import Comparison, compare
from netdeconv.experiments.running.families import norm_config
from netdeconv.experiments.running.rows import folder_of, read_history
from netdeconv.training import Reporter, RunDirectory, Silent, TrainingConfig, from_plain, read_config, to_plain
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
    """
    with RunDirectory(path, name="compare", resume=resume) as directory:
        if not resume:
            directory.write_json(CONFIG, {"contest": _to_plain(plan)})
        runs = {
            f"{name} lr {lr:g}": plan.run(name, lr=lr, epochs=plan.search_epochs)
            for name in plan.names
            for lr in plan.lrs
        }
        found = _stage(runs, directory.path / SEARCH, reporter)
        scores = {row.label: row.scores[-1] if row.scores and not row.failure else 0.0 for row in found.rows}
        searched = {name: {lr: scores[f"{name} lr {lr:g}"] for lr in plan.lrs} for name in plan.names}
        best = {name: max(by_rate, key=lambda lr: by_rate[lr]) for name, by_rate in searched.items()}
        everything = dataclasses.replace(plan.base.data, validation_size=0)
        runs = {
            f"{name} seed {seed}": plan.run(name, lr=best[name], seed=seed, data=everything)
            for seed in plan.seeds
            for name in plan.names
        }
        final = _stage(runs, directory.path / FINAL, reporter)
        contenders = [_contender(name, searched[name], best[name], final) for name in plan.names]
        _draw(contenders, directory.path, plan.base)
        plain = [dataclasses.asdict(one) for one in contenders]
        directory.write_json("summary.json", {"contenders": plain})
        return directory.path, contenders


def read_plan(path: Path, tasks: Mapping[str, type[Task]]) -> Plan | None:
    """Return what the contest in a directory trains; ``None``: it holds another comparison."""
    plain = read_config(path).get("contest")
    if plain is None:
        return None
    lists = {name: tuple(plain[name]) for name in ("names", "lrs", "seeds")}
    return Plan(
        base=from_plain(plain["base"], tasks),
        search_epochs=plain["search_epochs"],
        changes=plain["changes"],
        **lists,
    )


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


def _stage(runs: Mapping[str, TrainingConfig], path: Path, reporter: Callable[[str], Reporter]) -> Comparison:
    return compare(runs, str(path), reporter=reporter, resume=(path / CONFIG).exists())


def _contender(name: str, searched: Mapping[float, float], lr: float, final: Comparison) -> Contender:
    rows = [row for row in final.rows if row.label.startswith(f"{name} seed ")]
    failed = [row for row in rows if row.failure or not row.scores]
    if failed:
        raise FloatingPointError(f"{failed[0].label}: {failed[0].failure}")
    return Contender(
        name=name,
        searched=searched,
        lr=lr,
        scores=tuple(row.scores[-1] for row in rows),
        seconds=statistics.mean(row.seconds or 0.0 for row in rows),
        seconds_per_step=statistics.median(row.seconds_per_step or 0.0 for row in rows),
    )


def _draw(contenders: Sequence[Contender], path: Path, base: TrainingConfig) -> None:
    """The range of learning rates, and the curves of the final runs."""
    lines = [
        {"data": base.data.dataset, "normalisation": one.name, **{f"lr {lr:g}": s for lr, s in one.searched.items()}}
        for one in contenders
    ]
    rate_map(lines).savefig(path / "rates.png", dpi=120)
    runs = json.loads((path / FINAL / CONFIG).read_text(encoding="utf-8"))["runs"]
    histories: dict[str, list[list[dict[str, Any]]]] = {}
    for label in runs:
        name = label.partition(" seed ")[0]
        histories.setdefault(name, []).append(read_history(folder_of(path / FINAL, label)))
    title = f"{base.network.arch} on {base.data.dataset}, each at its best learning rate"
    curves(histories, title=title, metric=base.task.metric).savefig(path / "curves.png", dpi=120)


def _to_plain(plan: Plan) -> dict[str, Any]:
    return {
        "base": to_plain(plan.base),
        "names": list(plan.names),
        "lrs": list(plan.lrs),
        "seeds": list(plan.seeds),
        "search_epochs": plan.search_epochs,
        "changes": dict(plan.changes),
    }
