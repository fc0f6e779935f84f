"""What the commands that train one network share: their settings, from a line, a saved run or an experiment's row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from tyro.conf import Suppress, arg

from netdeconv.cli.parser import UsageError, parse, value_of
from netdeconv.cli.published import translated
from netdeconv.data.config import DataConfig
from netdeconv.tasks import TASKS, Classification, Segmentation
from netdeconv.training.config import DeviceName, TrainingConfig

if TYPE_CHECKING:
    from netdeconv.tasks.trained import TrainedClassifier, TrainedSegmentation
    from netdeconv.training import Reporter, RunResult

T = TypeVar("T", bound="Options")
# Options that most people want: the first of a command's help.
USUAL = (
    *("--arch", "--dataset", "--norm", "--epochs", "--batch-size", "--lr", "--weight-decay", "--schedule"),
    *("--seed", "--device", "--data-dir", "--result-path"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationRun(TrainingConfig):
    """A run of image classification."""

    task: Classification = dataclasses.field(default_factory=Classification)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PixelData(DataConfig):
    """Which images, and how they come."""

    augment: Suppress[bool] = True
    cutout: Suppress[int] = 0
    num_classes: Suppress[int | None] = None
    image_size: Suppress[int | None] = None
    resize: Suppress[int | None] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationRun(TrainingConfig):
    """A run of segmentation."""

    task: Segmentation = dataclasses.field(default_factory=Segmentation)
    data: PixelData = dataclasses.field(default_factory=PixelData)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Train and evaluate one network, with batch norm or with network deconvolution.

    Args:
        resume: run directory to continue from its last checkpoint, with its settings; epochs may be added where the
            learning rate does not depend on their number.
        experiment: take the settings of one, see `netdeconv list experiments`; what is typed overrides them.
        row: which run of the experiment, where it has several.
        msg: show progress.
    """

    resume: str | None = None
    experiment: Annotated[str | None, arg(aliases=("--recipe",))] = None
    row: str | None = None
    msg: bool = True
    config: ClassificationRun = dataclasses.field(default_factory=ClassificationRun)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationOptions(Options):
    """Train and evaluate a segmentation network, with batch norm or with network deconvolution.

    Args:
        overlays: pictures of predictions, drawn when all epochs are done.
    """

    overlays: int = 4
    config: SegmentationRun = dataclasses.field(default_factory=SegmentationRun)  # type: ignore[assignment]


_RUNS: Mapping[str, type] = {Classification.name: ClassificationRun, Segmentation.name: SegmentationRun}


def typed_run(config: TrainingConfig) -> Any:
    """Return settings as those that the command line of their task knows."""
    kind = _RUNS[config.task.name]
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(TrainingConfig)}
    if kind is SegmentationRun:
        values["data"] = PixelData(**{f.name: getattr(config.data, f.name) for f in dataclasses.fields(DataConfig)})
    return kind(**values)


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
    description: str | None = None,
    usual: Sequence[str] = USUAL,
    saved: Callable[[str], TrainingConfig | None] | None = None,
    fixed: bool = True,
) -> T:
    """Return what was typed, over the settings of the run or of the experiment that it names.

    Args:
        arguments: what was typed.
        default: the command's defaults.
        prog: the command, for the help.
        split: see :func:`netdeconv.cli.published.translated`.
        description: of the help.
        usual: options named first in the help.
        saved: reads what ``--resume`` names; ``None``: a run.
        fixed: whether a run that is resumed keeps the settings that change its numbers.

    Raises:
        UsageError: when words contradict each other, or a run that is resumed.
        RunDirectoryError: when there is no run to resume.
    """
    resume, experiment = value_of(arguments, "--resume"), value_of(arguments, "--experiment", "--recipe")
    before: TrainingConfig | None = None
    if resume is not None:
        if experiment is not None:
            raise UsageError("--resume keeps the settings of its run: leave --experiment out")
        before = (saved or saved_run)(resume)
    elif experiment is not None:
        before = dataclasses.replace(_row(experiment, value_of(arguments, "--row")), loggers=default.config.loggers)
    elif value_of(arguments, "--row") is not None:
        raise UsageError("--row names a run of an experiment: it needs --experiment")
    if before is not None:
        default = over(default, before)
    norm = default.config.network.norm
    words, changed = translated(arguments, norm, split)
    if changed != norm:
        network = dataclasses.replace(default.config.network, norm=changed)
        default = dataclasses.replace(default, config=dataclasses.replace(default.config, network=network))
    options = parse(type(default), words, prog=prog, description=description, default=default, usual=usual)
    if fixed and resume is not None and before is not None:
        _require_same(options.config, before)
    return options


def saved_run(folder: str) -> TrainingConfig:
    """Return the settings of a run, with its directory.

    Raises:
        RunDirectoryError: when there is none.
    """
    from netdeconv.training import from_plain, read_config

    path = run_folder(folder)
    return dataclasses.replace(from_plain(read_config(path), TASKS), result_path=str(path))


def over(default: T, config: TrainingConfig) -> T:
    """The command's options with the settings of a run, whatever its task."""
    typed = typed_run(config)
    cls: type = type(default)
    if config.task.name != default.config.task.name:
        cls = dataclasses.make_dataclass(
            cls.__name__, [("config", type(typed), typed)], bases=(cls,), frozen=True, kw_only=True
        )
        cls.__doc__ = type(default).__doc__
    return cls(**{field.name: getattr(default, field.name) for field in dataclasses.fields(cls)} | {"config": typed})


def _row(name: str, row: str | None) -> TrainingConfig:
    from netdeconv.experiments import experiment

    chosen = experiment(name)
    labels = chosen.select([row] if row else [])
    if len(labels) > 1:
        raise UsageError(f"{chosen.name} has several rows: name one with --row (known: {', '.join(labels)})")
    return chosen.rows[labels[0]].config


def _require_same(asked: TrainingConfig, saved: TrainingConfig) -> None:
    """Make sure that a run goes on to the numbers it would have had."""
    from netdeconv.training import differing_settings, to_plain

    if Path(str(asked.result_path)).resolve() != Path(str(saved.result_path)).resolve():
        raise UsageError(f"--resume continues in {saved.result_path}: leave --result-path out")
    differing = differing_settings(asked, to_plain(saved))
    if differing:
        raise UsageError(f"--resume keeps the settings of {saved.result_path}, but {'; '.join(differing.values())}")


def load_trained(run: str, *, best: bool, device: DeviceName) -> TrainedClassifier | TrainedSegmentation:
    """Return the network of a finished run, of its best epoch or of the last."""
    from netdeconv.tasks.trained import BEST, LAST, TrainedClassifier, TrainedSegmentation
    from netdeconv.training import read_config
    from netdeconv.training.devices import device_type

    segments = read_config(run).get("task", {}).get("name") == Segmentation.name
    kind: type[TrainedClassifier | TrainedSegmentation] = TrainedSegmentation if segments else TrainedClassifier
    return kind.load(run, file=BEST if best else LAST, device=device_type(device))


def trained(options: Options, progress: bool | Reporter | None = None) -> RunResult | None:
    """Run what was asked for; ``None`` in all processes but the first, which draws and prints."""
    from netdeconv.data import info
    from netdeconv.models import architecture
    from netdeconv.training import is_first_process, run
    from netdeconv.viz import curves

    config = options.config
    if isinstance(config.task, Classification):  # a name that is unknown is said before data are looked for
        info(config.data.dataset)
        architecture(config.network.arch)
    result = run(config, progress=options.msg if progress is None else progress, resume=options.resume is not None)
    if not is_first_process():
        return None
    name = config.network.arch.rpartition("/")[2]
    figure = curves({name: result.history}, title=f"{name} on {config.data.dataset}", metric=result.metric)
    figure.savefig(result.path / "curves.png", dpi=120)
    return result
