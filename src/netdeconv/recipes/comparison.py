"""The same network, seed and budget with several normalisations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from netdeconv.recipes.variants import WhiteningChoice, variant
from netdeconv.training import (
    Reporter,
    RunDirectory,
    RunResult,
    Silent,
    TrainingConfig,
    run,
    to_plain,
)
from netdeconv.training.run_directory import CONFIG
from netdeconv.viz import curves


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        label: name of the variant, with its learning rate where there are several.
        lr: its learning rate.
        accuracies: per cent after every epoch.
        seconds_per_step: median.
        seconds: of training in all.
        seconds_to_baseline: training seconds until batch norm's best accuracy; ``None``: not reached.
    """

    label: str
    lr: float
    accuracies: tuple[float, ...]
    seconds_per_step: float
    seconds: float
    seconds_to_baseline: float | None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a comparison measured.

    Args:
        path: its directory.
        rows: the table.
        baseline: best accuracy of the batch norm runs after any epoch; ``None`` without such runs.
        evaluated_on: which part of the data set the accuracies are of.
    """

    path: Path
    rows: tuple[Row, ...]
    baseline: float | None
    evaluated_on: str


def plan(
    base: TrainingConfig,
    names: Sequence[str],
    *,
    choice: WhiteningChoice,
    baseline_lrs: Sequence[float],
) -> dict[str, TrainingConfig]:
    """Return the runs of a comparison, by label.

    Args:
        base: what all have in common; its learning rate is that of the whitened networks.
        names: variants.
        choice: settings of the whitening.
        baseline_lrs: learning rates of the batch norm runs, one run each.

    Raises:
        UnknownNameError: when a variant is unknown.
    """
    runs: dict[str, TrainingConfig] = {}
    for name in names:
        kind = variant(name)
        lrs = [base.optimizer.lr] if kind.whitens else list(dict.fromkeys(baseline_lrs))
        for lr in lrs:
            label = name if len(lrs) == 1 else f"{name} lr {lr:g}"
            runs[label] = dataclasses.replace(
                base,
                network=kind.network(choice, base.network),
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
        results: dict[str, RunResult] = {}
        watching = {label: reporter(label) for label in runs}
        for label, config in runs.items():
            folder = directory.path / label.replace(" ", "_")
            started = (folder / CONFIG).exists()
            results[label] = run(
                dataclasses.replace(config, result_path=str(folder)), progress=watching[label], resume=started
            )
            directory.write_metrics(list(_lines(results)))
        comparison = _summarise(directory.path, runs, results)
        directory.write_json("summary.json", _plain(comparison))
        title = " / ".join({f"{config.network.arch} on {config.data.dataset}" for config in runs.values()})
        figure = curves({label: result.history for label, result in results.items()}, title=title)
        figure.savefig(directory.path / "curves.png", dpi=120)
        return comparison


def seconds_to(history: Sequence[Mapping[str, Any]], accuracy: float) -> float | None:
    """Return the training seconds until an epoch ends with at least this accuracy, or ``None``."""
    return next((record["cumulative_seconds"] for record in history if record["accuracy"] >= accuracy), None)


def _lines(results: Mapping[str, RunResult]) -> Iterator[dict[str, Any]]:
    for label, result in results.items():
        for record in result.history:
            yield {"run": label, **record}


def _summarise(path: Path, runs: Mapping[str, TrainingConfig], results: Mapping[str, RunResult]) -> Comparison:
    best = [
        max(record["accuracy"] for record in results[label].history)
        for label, config in runs.items()
        if config.network.whitening is None
    ]
    baseline = max(best, default=None)
    rows = tuple(
        Row(
            label=label,
            lr=runs[label].optimizer.lr,
            accuracies=tuple(record["accuracy"] for record in result.history),
            seconds_per_step=result.seconds_per_step,
            seconds=result.seconds,
            seconds_to_baseline=None if baseline is None else seconds_to(result.history, baseline),
        )
        for label, result in results.items()
    )
    return Comparison(path, rows, baseline, next(iter(results.values())).history[0]["evaluated_on"])


def _plain(comparison: Comparison) -> dict[str, Any]:
    plain = dataclasses.asdict(comparison)
    plain.pop("path")
    return plain
