"""Training replaced by a result that follows from the settings, for tests of what experiments make of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from netdeconv.experiments.running import runner
from netdeconv.training.config import TrainingConfig
from netdeconv.training.plain import to_plain
from netdeconv.training.results import RunResult

SESSION = {"threads": 2, "precision": "32-true", "processor": "P", "python": "3", "torch": "2", "torchvision": "0"}


def fake(
    monkeypatch: pytest.MonkeyPatch, score: Callable[[TrainingConfig], float | None], seconds: float = 10.0
) -> list[TrainingConfig]:
    """Let every epoch take so many seconds, a fifth more where a network whitens; a score of None diverges.

    Returns the list of what will have been trained.
    """
    trained: list[TrainingConfig] = []

    def run(config: TrainingConfig, **settings: object) -> RunResult:
        del settings
        trained.append(config)
        folder = Path(str(config.result_path))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(to_plain(config)))
        (folder / "environment.json").write_text(json.dumps({"sessions": [SESSION | {"lightning-fabric": "2"}]}))
        found = score(config)
        if found is None:
            raise FloatingPointError("the training loss is nan")
        took = seconds * (1.2 if config.network.norm.whitens else 1.0)
        history = [
            {
                "epoch": epoch + 1,
                config.task.metric: found,
                "accuracy_running_statistics": found - 1,
                "accuracy_batch_statistics": found,
                "train_loss": 1.0,
                "cumulative_seconds": took * (epoch + 1),
                "seconds_per_step": took / 5,
                "evaluated_on": "validation" if config.data.validation_size else "test",
            }
            for epoch in range(config.epochs)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in history))
        (folder / "summary.json").write_text("{}")
        return RunResult(folder, tuple(history), None, config.task.metric)

    monkeypatch.setattr(runner, "run", run)
    return trained


def labels(trained: list[TrainingConfig]) -> list[str]:
    """The folders of what was trained."""
    return [Path(str(config.result_path)).name for config in trained]
