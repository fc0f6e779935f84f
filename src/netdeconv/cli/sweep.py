"""``netdeconv sweep``: learning rate and weight decay, searched on images cut from the training set."""

from __future__ import annotations

import dataclasses
import functools
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netdeconv.cli.parser import UsageError, given, value_of
from netdeconv.cli.published import translated
from netdeconv.cli.reporting import reporters, table_text
from netdeconv.cli.runs import Options as RunOptions
from netdeconv.cli.runs import settings
from netdeconv.cli.train import DEFAULT as TRAIN
from netdeconv.experiments.running.search_space import Search, Space
from netdeconv.tasks import TASKS
from netdeconv.training.config import TrainingConfig

_TRIALS = 20
_OWN = ("lr_range", "wd_range", "lr_grid", "wd_grid", "trials", "prune", "resume")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """Train one network with many learning rates and weight decays, judged by images cut from the training set.

    Args:
        space: What is searched.
        trials: runs in all; else 20, or every pair of two grids.
        prune: stop a run after an epoch in which its score is below the median of the others.
        resume: directory of a search to continue, with its settings; trials may grow.
    """

    space: Space = dataclasses.field(default_factory=Space)
    trials: int | None = None
    prune: bool = False


DEFAULT = Options(config=TRAIN.config)


def options_of(arguments: Sequence[str]) -> Options:
    """Return what was typed.

    Raises:
        ValueError: when options contradict each other, or the search that is resumed.
    """
    if value_of(arguments, "--lr", "--learning-rate", "--wd", "--weight-decay") is not None:
        raise UsageError(
            "a sweep chooses --lr and --wd: say where from with --lr-range, --lr-grid, --wd-range, --wd-grid"
        )
    if value_of(arguments, "--validation-size") == "0":
        raise UsageError("--validation-size 0 would choose by the test images")
    options = settings(arguments, DEFAULT, prog="netdeconv sweep", saved=_saved_base)
    typed = given(type(options), translated(arguments, options.config.network.norm)[0])
    fixed = [name for place, name in typed.items() if place == "prune" or place.startswith("space.")]
    if options.resume is not None and fixed:
        raise UsageError(f"--resume keeps the settings of its search: leave {fixed[0]} out")
    return options


def main(arguments: Sequence[str]) -> int:
    """Search, print the table, the best pair as a command, and say where everything is."""
    options = options_of(arguments)
    from netdeconv.experiments import search

    config, space, prune = options.config, options.space, options.prune
    notes: dict[str, Any] = {"arguments": list(arguments), "trials": options.trials}
    if options.resume is not None:
        saved = _saved(options.resume)
        space = Space(**{name: value and tuple(value) for name, value in saved["space"].items()})
        notes, prune = saved["notes"], saved["prune"]
    else:
        # Opened even where the size is known: what is wrong with the data is said before anything is written.
        tenth = _num_training_images(config) // 10
        size = config.data.validation_size or tenth
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, validation_size=size))
    base = dataclasses.replace(config, result_path=None)
    asked = options.trials if options.trials is not None else notes["trials"]
    with reporters(options.msg) as reporter:
        found = search(
            base,
            space,
            config.result_path,
            trials=asked if asked is not None else len(space.grid() or range(_TRIALS)),
            prune=prune,
            notes=notes,
            resume=options.resume is not None,
            reporter=reporter,
            noted=functools.partial(_write, base),
        )
    print(render(found, base), end="")
    if found.best is not None:
        print(train_command(notes["arguments"], lr=found.best.lr, weight_decay=found.best.weight_decay))
    print(f"runs, table and map: {found.path}")
    return 0


def train_command(arguments: Sequence[str], *, lr: float, weight_decay: float) -> str:
    """Return ``netdeconv train`` with what was typed of the run, and a pair that was found."""
    own = {f"--{name.replace('_', '-')}" for name in (*_OWN, "validation_size", "result_path")}
    kept: list[str] = []
    keeping = True
    for word in arguments:
        if word.startswith("--"):
            keeping = word.partition("=")[0] not in own
        if keeping:
            kept.append(word)
    return shlex.join(["netdeconv", "train", *kept, "--lr", f"{lr:.3g}", "--wd", f"{weight_decay:.3g}"])


def _num_training_images(config: TrainingConfig) -> int:
    import torch

    splits = config.task.open(config.data, seed=config.seed, device=torch.device("cpu"), shard=(0, 1))
    return splits.train.num_samples


def _saved(folder: str) -> dict[str, Any]:
    """The settings of the search to continue."""
    from netdeconv.training import read_config

    saved = read_config(Path(folder))
    if "space" not in saved:
        raise UsageError(f"{folder} holds no search")
    return saved


def _saved_base(folder: str) -> TrainingConfig:
    from netdeconv.training import from_plain

    return dataclasses.replace(from_plain(_saved(folder)["run"], TASKS), result_path=folder)


def _write(base: TrainingConfig, found: Search) -> None:
    """The table and the map so far."""
    from netdeconv.viz import Point, search_map

    (found.path / "table.txt").write_text(render(found, base), encoding="utf-8")
    points = [Point(trial.lr, trial.weight_decay, trial.score, trial.state == "finished") for trial in found.trials]
    title = _subject(base)
    search_map(points, score=found.metric.replace("_", " "), title=title).savefig(found.path / "sweep.png", dpi=120)


def render(found: Search, base: TrainingConfig) -> str:
    """Return the table as text, the best first, with what has to be said of it."""
    metric = found.metric.replace("_", " ")
    order = {"finished": 0, "pruned": 1, "diverged": 2}
    rows = (
        (
            trial.folder,
            f"{trial.lr:.3g}",
            f"{trial.weight_decay:.3g}",
            "-" if trial.score is None else f"{trial.score:.2f}",
            str(trial.epochs),
            "" if trial.state == "finished" else trial.state,
        )
        for trial in sorted(found.trials, key=lambda trial: (order[trial.state], -(trial.score or 0.0)))
    )
    table = table_text(("run", "lr", "weight decay", f"{metric} (%)", "epochs", ""), rows)
    return (
        f"{_subject(base)}, {len(found.trials)} trials\n{table}"
        f"Per cent of {base.data.validation_size} images cut from the training set; no test image was looked at.\n"
    )


def _subject(base: TrainingConfig) -> str:
    epochs = "1 epoch" if base.epochs == 1 else f"{base.epochs} epochs"
    return f"{base.network.arch} on {base.data.dataset}, {epochs}"
