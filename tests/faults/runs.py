"""A run that draws on everything a checkpoint has to hold, in a second; and when two of them are the same."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import torch

from forks import Child
from netdeconv.data.config import DataConfig
from netdeconv.tasks import Classification
from netdeconv.training.checkpoint import load_checkpoint
from netdeconv.training.config import TrainingConfig
from netdeconv.training.run_directory import CONFIG
from netdeconv.training.session import run
from small_runs import numbers, small_config


def tiny(path: Path, **changes: Any) -> TrainingConfig:
    """Statistics that freeze, momentum, mixed images and averaged weights; a checkpoint after every step."""
    config = small_config(
        path,
        task=Classification(mixup=0.4),
        data=DataConfig(dataset="digits", train_size=96, batch_size=32, evaluation_size=100),
        epochs=2,
        averaging=0.9,
        recalibration=2,
        precision="32-true",
        device="cpu",
        checkpoint_minutes=1e-6,
    )
    return dataclasses.replace(config, **changes)


def train(config: TrainingConfig, *, resume: bool | None = None) -> None:
    """Begin the run, or go on with it; ``None``: whichever the directory is for."""
    if resume is None:
        resume = (Path(str(config.result_path)) / CONFIG).exists()
    run(config, resume=resume)


def finished(config: TrainingConfig) -> float:
    """Train to the end in a process of its own, and return the seconds that it computed.

    Raises:
        AssertionError: when it fails.
    """
    ended = Child(lambda: train(config)).wait()
    assert ended.code == 0, f"the run did not go on: {ended}"
    return ended.seconds


def import_as(config: TrainingConfig) -> None:
    """Import whatever a run imports, which a process that is forked then need not."""

    def note() -> None:
        train(config)
        (Path(str(config.result_path)) / "modules").write_text("\n".join(sys.modules))

    assert Child(note).wait().code == 0
    for name in (Path(str(config.result_path)) / "modules").read_text().split():
        with contextlib.suppress(Exception):  # some are made by others, and are no files
            importlib.import_module(name)


def require_same(left: Path, right: Path) -> None:
    """Make sure that two finished runs have the same state and numbers, bit for bit.

    Raises:
        AssertionError: with the first difference.
    """
    first, second = (load_checkpoint(path / "checkpoint.pt") for path in (left, right))
    for key in ("model", "optimizer", "average", "processes"):
        require_equal(first.get(key), second.get(key), key)
    lines = [[json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()] for path in (left, right)]
    assert numbers(lines[0]) == numbers(lines[1]), "metrics differ"
    assert numbers(first["history"]) == numbers(lines[0]), "the metrics are not the checkpoint's"
    leftover = {file.name for file in left.iterdir()} - {file.name for file in right.iterdir()}
    assert not leftover, f"files are left: {leftover}"


def require_equal(first: Any, second: Any, name: str) -> None:
    """Make sure that two states are equal, bit for bit.

    Raises:
        AssertionError: with the name of what differs.
    """
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), f"{name} differs"
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), f"{name} has other keys"
        for key, value in first.items():
            require_equal(value, second[key], f"{name}.{key}")
    elif isinstance(first, list):
        assert len(first) == len(second), f"{name} has another length"
        for number, (one, other) in enumerate(zip(first, second, strict=True)):
            require_equal(one, other, f"{name}.{number}")
    else:
        assert first == second, f"{name} differs"
