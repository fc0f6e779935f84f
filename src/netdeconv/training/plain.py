"""Settings as plain data and back, and which of them a run that is continued may change."""

from __future__ import annotations

import contextlib
import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from netdeconv.training.config import TrainingConfig
from netdeconv.training.run_directory import RunDirectory, RunDirectoryError, read_config

T = TypeVar("T")

# Settings that are no more, and the value that saved runs may have of them: what is done now; ``...``: any.
GONE = {
    **{"decode": "workers", "skip_corrupt": False, "verify": True, "strategy": ..., "nodes": ..., "devices": ...},
    **{"keep_best": ..., "num_classes": ..., "resize": None},
    **{"window": None, "cutout": 0, "average_flip": False, "class_weights": None, "published": False},
}
# A run may be continued with other values of these: they do not change its numbers.
FREE = frozenset(
    {
        *("result_path", "threads", "loggers", "evaluate_all_statistics", "check_finite", "checkpoint_minutes"),
        *("data.data_dir", "data.download", "data.num_workers"),
    }
)


def to_plain(config: TrainingConfig) -> dict[str, Any]:
    """Return the settings as dictionaries, strings, numbers."""
    plain = dataclasses.asdict(config)
    plain["task"]["name"] = config.task.name
    return plain


def from_plain(plain: Mapping[str, Any], tasks: Mapping[str, type]) -> TrainingConfig:
    """Return the settings that :func:`to_plain` made plain.

    Args:
        plain: dictionaries, strings, numbers.
        tasks: the classes of the tasks by name.

    Raises:
        ValueError: when a setting is unknown or out of range.
    """
    settings = {**plain, **plain.get("parallel", {})}  # where older runs have some
    settings.pop("parallel", None)
    try:
        task = dict(settings.pop("task"))
        task_class = tasks[task.pop("name")]
        return _build(TrainingConfig, {**settings, "task": _build(task_class, task)})
    except (KeyError, TypeError, StopIteration) as error:
        raise ValueError(f"these are not the settings of a run: {error}") from error


def _build(cls: type[T], plain: Mapping[str, Any]) -> T:
    hints = typing.get_type_hints(cls)
    gone = {name for name in GONE.keys() & plain.keys() if GONE[name] in (plain[name], ...)} - hints.keys()
    return cls(**{name: _revive(hints[name], value) for name, value in plain.items() if name not in gone})


def _revive(hint: Any, value: Any) -> Any:
    """Turn a dictionary back into the dataclass that the annotation allows; other values stay."""
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, dict):
        return value
    options: tuple[type, ...] = typing.get_args(hint) or (hint,)
    return _build(next(option for option in options if dataclasses.is_dataclass(option)), value)


def differing_settings(ours: TrainingConfig, saved: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that change a run's numbers and differ from those of a saved run.

    A setting that the saved run's version did not have yet counts as its default. More epochs differ only where the
    learning rates of the epochs that the saved run had would have been others.

    Args:
        ours: settings.
        saved: the other's, plain.

    Returns:
        For every name, parts joined with dots, what differs in words.
    """
    with contextlib.suppress(KeyError, TypeError, ValueError):  # settings of another kind differ by their names
        saved = to_plain(from_plain(saved, {ours.task.name: type(ours.task)}))
    here, there = flat(to_plain(ours)), flat(saved)
    names = sorted(name for name in here.keys() | there.keys() if name not in FREE)
    found = {
        name: f"{name} was {there.get(name)!r}, not {here.get(name)!r}"
        for name in names
        if here.get(name) != there.get(name)
    }
    if "epochs" in found and ours.epochs > saved["epochs"]:
        if ours.optimizer.schedule == "constant" and ours.optimizer.warmup == 0:
            del found["epochs"]
        else:
            found["epochs"] += (
                f" (the {ours.optimizer.schedule} schedule depends on it: the epochs before would have had other "
                "learning rates; only a constant one without warm-up can be continued)"
            )
    return found


def flat(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings by their names, parts joined with dots."""
    found: dict[str, Any] = {}
    for name, value in plain.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def changed_settings(config: TrainingConfig, directory: RunDirectory) -> str:
    """Return what a run that is continued does otherwise, in words.

    Raises:
        RunDirectoryError: when it cannot be continued with these settings.
    """
    if not directory.is_resumed or not directory.has_results():
        return ""
    if not directory.checkpoint.exists():
        raise RunDirectoryError(
            f"{directory.path} cannot be continued: its {directory.checkpoint.name} is gone, and its metrics are of "
            "weights that no longer exist; train anew with another --result-path"
        )
    saved = read_config(directory.path)
    conflicts = differing_settings(config, saved)
    if conflicts:
        raise RunDirectoryError(f"{directory.path} has other settings: {'; '.join(conflicts.values())}")
    return "" if config.epochs == saved["epochs"] else f"; {config.epochs} epochs instead of {saved['epochs']}"
