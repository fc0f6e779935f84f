"""Normalisations, each at the learning rate that suits it: a search on images cut from train, then final runs."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from netdeconv.experiments.running.experiment import Experiment, ExperimentRow, Reproduced, Rows, best_of
from netdeconv.experiments.running.families import mean, norm_config, searched, spread
from netdeconv.models.norm_config import BATCH_NORM, NORM_NAMES
from netdeconv.training.config import TrainingConfig, replaced

# A rate counts as one at which a network trains when it loses at most so many points against its best.
NEAR = 4.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contest:
    """What is compared.

    Args:
        variants: normalisations; the others are compared with the first. What is typed of a whitening changes those
            that whiten.
        lrs: learning rates that are tried for each on images cut from train; the best is trained with every seed.
        search_epochs: of the runs that are tried.
        seeds: of the final runs, on all training images.
    """

    variants: Annotated[tuple[str, ...], arg(metavar=f"{{{','.join(NORM_NAMES)}}} ...")] = (BATCH_NORM, "default")
    lrs: tuple[float, ...] = (0.3, 0.1, 0.03, 0.01)
    search_epochs: int = 2
    seeds: tuple[int, ...] = (0, 1, 2)


@dataclasses.dataclass(frozen=True)
class Plan:
    """A contest and what is trained in it.

    Args:
        base: what all runs have in common; its validation images judge the learning rates, and what its normalisation
            changes of a whitening is changed of those that whiten.
        contest: what is compared.
        measure: what else is measured in the directory of a final run.

    Raises:
        ValueError: when the learning rates would be judged by test images.
    """

    base: TrainingConfig
    contest: Contest
    measure: Callable[[Path, TrainingConfig], dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        if not self.base.data.validation_size:
            raise ValueError("learning rates are chosen on images cut from the training set: set --validation-size")

    def experiment(self) -> Experiment:
        """Return what is run."""
        return Experiment(
            name="compare",
            title=f"{self.base.network.arch} on {self.base.data.dataset}, each at its best learning rate",
            rows=self.rows(),
            then=self.then,
            summarise=self.lines,
        )

    @property
    def called(self) -> dict[str, str]:
        """What the normalisations are called in labels and tables, and their names."""
        return {name.replace("_", " "): name for name in self.contest.variants}

    def rows(self) -> Rows:
        """Return the searches' runs by label."""
        rows: dict[str, ExperimentRow] = {}
        for called, name in self.called.items():
            config = dataclasses.replace(self._config(name), epochs=self.contest.search_epochs)
            rows |= searched(config, f"{called}, search", self.contest.lrs, (self.base.optimizer.weight_decay,))
        return rows

    def then(self, found: Mapping[str, Reproduced]) -> Rows:
        """Return the final runs, in turn, when all searches are done: nothing else is between those compared."""
        best = {called: best_of(found, f"{called}, search") for called in self.called}
        if any(not (run.is_finished or run.failure) for label, run in found.items() if ", search" in label):
            return {}
        rows: dict[str, ExperimentRow] = {}
        for seed in self.contest.seeds:
            for called, own in best.items():
                if own is not None:
                    values = {"data.validation_size": 0, "epochs": self.base.epochs, "seed": seed}
                    config = replaced(own, values)
                    rows[f"{called}, seed {seed}"] = ExperimentRow(config=config, measure=self.measure)
        return rows

    def lines(self, runs: Sequence[Reproduced]) -> list[dict[str, Any]]:
        """One line for every normalisation; a run that diverged counts as 0."""
        found = {run.label: run for run in runs}
        lines = []
        for name in self.called:
            tried = [run for label, run in found.items() if label.startswith(f"{name}, search")]
            own = [run for label, run in found.items() if label.startswith(f"{name}, seed")]
            best = best_of(found, f"{name}, search")
            scores = [0.0 if run.failure else run.score or 0.0 for run in own]
            steps = [record["seconds_per_step"] for run in own for record in run.history]
            line = {
                "data": self.base.data.dataset,
                "normalisation": name,
                **{f"lr {run.row.config.optimizer.lr:g}": round(run.score or 0.0, 1) for run in tried},
                "best lr": best.optimizer.lr if best else None,
                "test": mean(scores),
                "spread": spread(scores),
                "seeds": len(own),
                "ms/step": round(1000 * statistics.median(steps), 2) if steps else None,
                "seconds": mean([run.seconds for run in own]),
            }
            lines.append(line)
        return lines

    def _config(self, name: str) -> TrainingConfig:
        return replaced(self.base, {"network.norm": norm_config(name, self.base.network.norm.changes())})


def in_words(lines: Sequence[Mapping[str, Any]]) -> str:
    """What the lines of a contest show: wins and losses beyond the spread of the seeds, rates, seconds a step."""
    first, *others = lines
    sentences = []
    for other in others:
        noise = 2 * (((first["spread"] or 0) ** 2 + (other["spread"] or 0) ** 2) / max(1, first["seeds"])) ** 0.5
        difference = other["test"] - first["test"]
        if abs(difference) <= noise or first["seeds"] == 1:
            verdict = f"no difference beyond the noise of this run ({difference:+.2f} points, noise {noise:.2f})"
        else:
            verdict = (
                f"{other['normalisation']} {'wins' if difference > 0 else 'loses'} by {abs(difference):.2f} points"
            )
        at, at_first = (_trains_at(line) for line in (other, first))
        sentences.append(
            f"{other['normalisation']} against {first['normalisation']}, each at its best rate: {verdict}. "
            f"{other['normalisation']} trains at {at[0]} of {at[1]} learning rates within {NEAR:g} points of its "
            f"best, {first['normalisation']} at {at_first[0]}. A step of {other['normalisation']} takes "
            f"{other['ms/step'] / first['ms/step']:.2f} times as long."
        )
    return " ".join(sentences)


def _trains_at(line: Mapping[str, Any]) -> tuple[int, int]:
    """Learning rates at which a normalisation loses little against its best, and how many there are."""
    scores = [score for key, score in line.items() if key.startswith("lr ")]
    return sum(score >= max(scores) - NEAR for score in scores), len(scores)
