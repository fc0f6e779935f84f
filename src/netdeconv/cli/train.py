"""``netdeconv train``: one network, one run directory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netdeconv.cli import options as tables
from netdeconv.cli.argparser import Option, Parser, UsageError
from netdeconv.cli.recipe_options import RECIPE, recipe_config
from netdeconv.data import explained_deaths
from netdeconv.tasks import TASKS
from netdeconv.training import (
    RunResult,
    TrainingConfig,
    differing_settings,
    from_plain,
    is_first_process,
    read_config,
    run,
    to_plain,
)
from netdeconv.viz import curves

# They do not change a run's numbers.
FREE_WHEN_RESUMING = frozenset(
    {
        *("resume", "result_path", "threads", "loggers", "data_dir", "download", "no_verify", "msg", "num_workers"),
        *("devices", "nodes", "strategy"),
    }
)
# Where settings are called otherwise than the option.
SETTINGS_OF = {
    "wd": {"weight_decay"},
    "lr_scheduler": {"schedule"},
    "warmup_epochs": {"warmup"},
    "deconv": {"whitening"},
    "norm": {"norm", "whitening", "stem", "linear"},
    "batchnorm": {"norm"},
    "delinear": {"linear"},
    "block": {"group_size"},
    "block_fc": {"linear"},
    "deconv_iter": {"num_iterations"},
    "stride": {"sampling_stride"},
    "model": {"arch"},
    "no_augment": {"augment"},
    "test_run": {"max_batches"},
    "test_iter": {"max_batches"},
}
RESUME = {"--resume": Option("", "run directory to continue from its last finished epoch, with its settings")}
# What a run can be told, by every command that trains one network or several.
TABLES = (
    tables.STRUCTURE,
    tables.NETWORK,
    tables.dataset("cifar10"),
    tables.TRAINING,
    tables.WHITENING,
    tables.DATA,
    tables.MACHINE,
)


def parser() -> Parser:
    """Return the parser of ``netdeconv train``."""
    built = Parser(
        prog="netdeconv train",
        description="Train and evaluate one network, with batch norm or with network deconvolution.",
    )
    for table in (*TABLES, RESUME, RECIPE):
        built.add_options(table)
    return built


def main(arguments: Sequence[str]) -> int:
    """Train as the arguments say."""
    own = parser()
    options, given = own.parse(arguments)
    config = recipe_config(options, given)
    if options.resume:
        config = resumed(options.resume, config, given)
    with explained_deaths():
        result = run(config, progress=options.msg, resume=bool(options.resume))
    if not is_first_process():
        return 0
    figure = curves({config.network.arch: result.history}, title=f"{config.network.arch} on {config.data.dataset}")
    figure.savefig(result.path / "curves.png", dpi=120)
    _print_end(result)
    return 0


def run_folder(given: str) -> Path:
    """Return the run directory that a person named, itself or one of its files."""
    path = Path(given).expanduser()
    return path.parent if path.is_file() else path


def resumed(folder: str, asked: TrainingConfig, given: set[str]) -> TrainingConfig:
    """Return the settings of the run to continue, with this machine's own folder and threads.

    Raises:
        UsageError: when an option that was given is not as it was in the run.
        RunDirectoryError: when there is no run.
    """
    if "recipe" in given:
        raise UsageError("--resume keeps the settings of its run: leave --recipe out")
    path = run_folder(folder)
    saved = from_plain(read_config(path), TASKS)
    if "result_path" in given and Path(str(asked.result_path)).resolve() != path.resolve():
        raise UsageError(f"--resume continues in {path}: leave --result-path out")
    free: dict[str, Any] = {name: getattr(asked, name) for name in ("threads", "loggers") if name in given}
    if given & {"devices", "nodes", "strategy"}:
        own = {name: getattr(asked.parallel, name) for name in ("devices", "nodes", "strategy")}
        free["parallel"] = dataclasses.replace(saved.parallel, **own)
    data = dataclasses.replace(
        saved.data,
        **{name: getattr(asked.data, name) for name in ("data_dir", "download", "num_workers") if name in given},
    )
    merged = dataclasses.replace(saved, data=data, result_path=str(path), **free)
    changed = given - FREE_WHEN_RESUMING
    if changed:
        # Given again, a setting must be as it was: the run goes on to the numbers it would have had.
        differing = differing_settings(asked, to_plain(saved))
        names = set().union(*(SETTINGS_OF.get(flag, {flag}) for flag in changed))
        conflicts = [text for name, text in differing.items() if names & set(name.split("."))]
        if conflicts:
            raise UsageError(f"--resume keeps the settings of {path}, but {'; '.join(conflicts)}")
    return merged


def _print_end(result: RunResult) -> None:
    last = result.history[-1]
    print(
        f"{last['evaluated_on']} accuracy {result.accuracy:.2f} % after {len(result.history)} epochs, "
        f"{result.seconds:.1f} s of training, {1000 * result.seconds_per_step:.0f} ms a step; "
        f"results in {result.path}"
    )
