"""What the commands that train share: their settings, from a line and a saved run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from netdeconv.cli.parser import UsageError, flags, parse, typed, values_of
from netdeconv.cli.published import Published, translated
from netdeconv.tasks import TASKS, Classification
from netdeconv.training.config import TrainingConfig, replaced
from netdeconv.training.progress import reporters

if TYPE_CHECKING:
    from netdeconv.training.results import RunResult

T = TypeVar("T", bound="Options")
# Options that most people want: the first of a command's help.
USUAL = (
    *("--arch", "--dataset", "--norm", "--epochs", "--batch-size", "--lr", "--weight-decay", "--schedule"),
    *("--seed", "--device", "--data-dir", "--result-path"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What all of them have.

    Args:
        msg: show progress.
        published: Keywords of the published program.
    """

    msg: bool = True
    published: Published = dataclasses.field(default_factory=Published)
    config: TrainingConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """Train and evaluate one network, with batch norm or with network deconvolution.

    Args:
        resume: run directory to continue from its last checkpoint, with its settings; epochs may be added where the
            learning rate does not depend on their number.
    """

    resume: str | None = None


def run_folder(given: str) -> Path:
    """Return the run directory that a person named, itself or one of its files."""
    path = Path(given).expanduser()
    return path.parent if path.is_file() else path


def settings(
    arguments: Sequence[str],
    default: T,
    *,
    prog: str,
    split: Callable[[str], tuple[str, bool]] = lambda name: (name, False),
    saved: Callable[[str], TrainingConfig | None] | None = None,
    fixed: bool = True,
    usual: Sequence[str] = USUAL,
) -> tuple[T, dict[str, str]]:
    """Return what was typed, over the settings of the run that is resumed.

    Args:
        arguments: what was typed.
        default: the command's defaults.
        prog: the command, for the help.
        split: see :func:`netdeconv.cli.published.translated`.
        saved: reads the run that ``--resume`` names; ``None``: it names no run.
        fixed: whether a run that is resumed keeps the settings that change its numbers.
        usual: options named first in the help.

    Returns:
        The settings; and which were typed, the option's name by the setting's place.

    Raises:
        UsageError: when words contradict each other, or a run that is resumed.
        RunDirectoryError: when there is no run to resume.
    """
    known = flags(default)
    line = typed(arguments, known)
    resume = values_of(line).get("resume")
    before = None if resume is None or saved is None else saved(resume)
    if before is not None:
        if before.task.name != default.config.task.name:
            raise UsageError(f"{resume} is a run of {before.task.name}: that is not what {prog!r} trains")
        default = dataclasses.replace(default, config=before)
    norm = default.config.network.norm
    line, changed = translated(line, known, norm, split)
    if changed != norm:
        default = dataclasses.replace(default, config=replaced(default.config, {"network.norm": changed}))
    words = [word for each in line for word in each.words]
    options = parse(type(default), words, prog=prog, default=default, usual=usual)
    if fixed and before is not None:
        _require_same(options.config, before)
    return options, {each.flag.place: each.flag.names[0] for each in line if each.flag is not None}


def saved_run(folder: str) -> TrainingConfig:
    """Return the settings of a run, with its directory.

    Raises:
        RunDirectoryError: when there is none.
    """
    from netdeconv.training.plain import from_plain
    from netdeconv.training.run_directory import read_config

    path = run_folder(folder)
    return dataclasses.replace(from_plain(read_config(path), TASKS), result_path=str(path))


def _require_same(asked: TrainingConfig, saved: TrainingConfig) -> None:
    """Make sure that a run goes on to the numbers it would have had."""
    from netdeconv.training.plain import differing_settings, to_plain

    if Path(str(asked.result_path)).resolve() != Path(str(saved.result_path)).resolve():
        raise UsageError(f"--resume continues in {saved.result_path}: leave --result-path out")
    differing = differing_settings(asked, to_plain(saved))
    if differing:
        raise UsageError(f"--resume keeps the settings of {saved.result_path}, but {'; '.join(differing.values())}")


def require_known(config: TrainingConfig) -> None:
    """Refuse unknown names before data are looked for, with the nearest."""
    from netdeconv.data.registry import info
    from netdeconv.models import architecture
    from netdeconv.models.segmentation import segmentation_network

    if isinstance(config.task, Classification):
        info(config.data.dataset)
        architecture(config.network.arch)
    else:
        segmentation_network(config.network.arch)


def outcome(result: RunResult) -> str:
    """What a run reached, in words; its best epoch only where that was not chosen by test images."""
    from netdeconv.viz.curves import in_words

    last, on = result.history[-1], result.history[-1]["evaluated_on"]
    shown = [name for name in dict.fromkeys((result.metric, "accuracy", "accuracy_top5")) if name in last]
    numbers, best = result.summary(), f"best_{result.metric}"
    chosen = ""
    if best in numbers:
        chosen = f" (best {numbers[best]:.2f} % after epoch {numbers['best_epoch']}, chosen on {on})"
    return (
        f"{on} {', '.join(f'{in_words(name)} {last[name]:.2f} %' for name in shown)}, loss {last['loss']:.4f} after "
        f"{len(result.history)} epochs{chosen}, {result.seconds:.1f} s of training, "
        f"{1000 * result.seconds_per_step:.0f} ms a step"
    )


def trained(options: RunOptions, every: int = 50) -> None:
    """Run what was asked for; the first process draws and says what came of it."""
    from netdeconv.training.devices import is_first_process
    from netdeconv.training.session import run
    from netdeconv.viz import curves

    config = options.config
    require_known(config)
    with reporters(options.msg, every=every) as reporter:
        result = run(config, reporter("training"), resume=options.resume is not None)
    if not is_first_process():
        return
    print(f"{outcome(result)}; results in {result.path}")
    name = config.network.arch.rpartition("/")[2]
    figure = curves({name: [result.history]}, title=f"{name} on {config.data.dataset}", metric=result.metric)
    figure.savefig(result.path / "curves.png", dpi=120)
