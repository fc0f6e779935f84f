"""The same network, seed and budget with several normalisations."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from netdeconv.experiments.running.families import norm_config
from netdeconv.experiments.running.rows import Failure, Trained, train_rows
from netdeconv.models import BATCH_NORM
from netdeconv.training import Reporter, RunDirectory, Silent, TrainingConfig, to_plain
from netdeconv.training.run_directory import CONFIG
from netdeconv.viz import curves


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        label: name of the variant, with its learning rate where there are several.
        lr: its learning rate.
        scores: per cent after every epoch.
        seconds_per_step: median; ``None``: no epoch was finished.
        seconds: of training in all; likewise.
        seconds_to_baseline: training seconds until batch norm's best score; ``None``: not reached.
        failure: what ended the run before its last epoch; empty: nothing did.
    """

    label: str
    lr: float
    scores: tuple[float, ...]
    seconds_per_step: float | None
    seconds: float | None
    seconds_to_baseline: float | None
    failure: str = ""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a comparison measured.

    Args:
        path: its directory.
        rows: the table.
        baseline: best score of the batch norm runs after any epoch; ``None`` without such runs.
        evaluated_on: which part of the data set the scores are of.
        metric: what the scores are: key of the records.
    """

    path: Path
    rows: tuple[Row, ...]
    baseline: float | None
    evaluated_on: str
    metric: str = "accuracy"


def plan(
    base: TrainingConfig,
    names: Sequence[str],
    *,
    changes: Mapping[str, Any] | None = None,
    baseline_lrs: Sequence[float],
) -> dict[str, TrainingConfig]:
    """Return the runs of a comparison, by label.

    Args:
        base: what all have in common; its learning rate is that of the whitened networks.
        names: normalisations.
        changes: settings of :class:`netdeconv.models.NormConfig`, of those that whiten.
        baseline_lrs: learning rates of the networks whose inputs are not whitened, one run each.

    Raises:
        UnknownNameError: when a normalisation is unknown.
    """
    runs: dict[str, TrainingConfig] = {}
    for name in names:
        norm = norm_config(name, changes)
        lrs = [base.optimizer.lr] if norm.whitens else list(dict.fromkeys(baseline_lrs))
        for lr in lrs:
            label = name if len(lrs) == 1 else f"{name} lr {lr:g}"
            runs[label] = dataclasses.replace(
                base,
                network=dataclasses.replace(base.network, norm=norm),
                optimizer=dataclasses.replace(base.optimizer, lr=lr),
            )
    return runs


def compare(
    runs: Mapping[str, TrainingConfig],
    path: str | None,
    *,
    reporter: Callable[[str], Reporter] = lambda label: Silent(),
    resume: bool = False,
) -> Comparison:
    """Train all runs, one after the other, and leave table, curves and measurements in a directory.

    Args:
        runs: settings by label, from :func:`plan`.
        path: the directory; ``None`` for a new one in ``runs``. Every run gets a folder in it.
        reporter: who is told of a run's progress, by its label.
        resume: whether the directory holds a comparison to continue.

    Raises:
        RunDirectoryError: when the directory is in use, taken, or holds nothing to resume.
    """
    with RunDirectory(path, name="compare", resume=resume) as directory:
        if not resume:
            directory.write_json(CONFIG, {"runs": {label: to_plain(config) for label, config in runs.items()}})
        results: dict[str, Trained] = {}
        for label, trained in train_rows(runs, directory.path, reporter=reporter):
            results[label] = trained
            directory.write_metrics(list(_lines(results)))
        comparison = _summarise(directory.path, runs, results)
        directory.write_json("summary.json", _plain(comparison))
        title = " / ".join({f"{config.network.arch} on {config.data.dataset}" for config in runs.values()})
        histories = {label: result.history for label, result in results.items() if result.history}
        if histories:
            figure = curves(histories, title=title, metric=comparison.metric)
            figure.savefig(directory.path / "curves.png", dpi=120)
        return comparison


def seconds_to(history: Sequence[Mapping[str, Any]], score: float, metric: str = "accuracy") -> float | None:
    """Return the training seconds until an epoch ends with at least this score, or ``None``."""
    return next((record["cumulative_seconds"] for record in history if record[metric] >= score), None)


def _lines(results: Mapping[str, Trained]) -> Iterator[dict[str, Any]]:
    for label, result in results.items():
        for record in result.history:
            yield {"run": label, **record}


def _summarise(path: Path, runs: Mapping[str, TrainingConfig], results: Mapping[str, Trained]) -> Comparison:
    metric = next(iter(runs.values())).task.metric
    best = [
        record[metric]
        for label, config in runs.items()
        if config.network.norm.name == BATCH_NORM
        for record in results[label].history
    ]
    baseline = max(best, default=None)
    rows = tuple(_row(label, runs[label].optimizer.lr, result, metric, baseline) for label, result in results.items())
    evaluated_on = next((result.history[0]["evaluated_on"] for result in results.values() if result.history), "")
    return Comparison(path, rows, baseline, evaluated_on, metric)


def _row(label: str, lr: float, result: Trained, metric: str, baseline: float | None) -> Row:
    history = result.history
    return Row(
        label=label,
        lr=lr,
        scores=tuple(record[metric] for record in history),
        seconds_per_step=statistics.median(record["seconds_per_step"] for record in history) if history else None,
        seconds=history[-1]["cumulative_seconds"] if history else None,
        seconds_to_baseline=None if baseline is None else seconds_to(history, baseline, metric),
        failure=result.message if isinstance(result, Failure) else "",
    )


def _plain(comparison: Comparison) -> dict[str, Any]:
    plain = dataclasses.asdict(comparison)
    plain.pop("path")
    return plain
