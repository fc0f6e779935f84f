"""Settings of a run: frozen dataclasses that become plain data and back."""

from __future__ import annotations

import contextlib
import dataclasses
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from netdeconv.data import DataConfig
from netdeconv.lookup import look_up
from netdeconv.models import BATCH_NORM, IMAGENET, NormConfig
from netdeconv.training.devices import DeviceName, ParallelConfig
from netdeconv.training.loggers import LOGGERS
from netdeconv.training.optimizers import OptimizerConfig
from netdeconv.training.precision import Precision
from netdeconv.training.task import Task

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Which network, and what is converted to network deconvolution.

    Args:
        arch: a name of :func:`netdeconv.models.list_names`, or ``imagenet/`` and one of torchvision.
        pretrained: whether an ``imagenet/`` network starts with its published weights.
        width: factor on all channels.
        norm: the normalisation it trains with.

    Raises:
        ValueError: when pretrained weights do not fit the settings.
    """

    arch: str = "vgg11"
    pretrained: bool = False
    width: float = 1.0
    norm: NormConfig = dataclasses.field(default_factory=NormConfig)

    def __post_init__(self) -> None:
        if self.pretrained and not self.arch.startswith(IMAGENET):
            raise ValueError(f"{self.arch!r} has no pretrained weights; networks named {IMAGENET}... have")
        if self.pretrained and self.norm.name != BATCH_NORM:
            raise ValueError(
                "pretrained weights are of the network with batch norm, and mean nothing with another normalisation: "
                "netdeconv.convert(model, calibration=batches) changes them to fit"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One run.

    Args:
        task: what a loss and a metric are.
        data: which images.
        network: which network.
        optimizer: how it learns.
        start: run directory of the same network with batch norm: training starts from its weights, but for a head of
            another size. A normalisation that whitens is converted with calibration, so that outputs stay.
        epochs: passes over the training images.
        start_epoch: epochs that count as done when a new run begins: the schedule and the order of the images
            start after them.
        seed: of the initial weights, the order of the images and their augmentation.
        precision: ``"auto"``: bfloat16 where the processor is fast at it, else float32.
        tf32: whether a graphics card may shorten the factors of float32 products.
        deterministic: whether operations that may differ from run to run are refused.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        parallel: how many processes train together.
        threads: processor threads; ``None`` leaves torch's choice.
        recalibration: training batches whose average statistics replace the running ones before every evaluation,
            for whitened layers and batch norm alike (see :func:`netdeconv.recalibrate`); 0: the running ones stay.
        evaluate_all_statistics: whether every epoch is also evaluated on the running statistics as training left
            them, and on each batch's own.
        accumulation: parts that every batch is cut into, one after the other through the network, with one
            update of the weights for all; every part is whitened with its own statistics.
        averaging: weight of the old value in an exponential average of the weights, which is then what is
            evaluated; it needs ``recalibration``. 0 for none.
        patience: stop after so many epochs without a better score; ``None`` for never.
        keep_best: whether the network with the best score is kept, in ``best.pt``. It and ``patience`` need
            evaluation images other than the test images.
        check_finite: whether NaN and infinity are looked for in every layer (slow).
        loggers: further places where every epoch is noted: ``"csv"``, ``"tensorboard"``.
        result_path: run directory; ``None``: a new one in ``runs``.
    """

    task: Task
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    start: str | None = None
    epochs: int = 20
    start_epoch: int = 0
    seed: int = 0
    precision: Precision = "auto"
    tf32: bool = False
    deterministic: bool = False
    device: DeviceName = "auto"
    parallel: ParallelConfig = dataclasses.field(default_factory=ParallelConfig)
    threads: int | None = None
    accumulation: int = 1
    averaging: float = 0.0
    patience: int | None = None
    keep_best: bool = False
    recalibration: int = 16
    evaluate_all_statistics: bool = False
    check_finite: bool = False
    loggers: tuple[str, ...] = ()
    result_path: str | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "threads", "accumulation", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not 0 <= self.start_epoch < self.epochs:
            raise ValueError(f"start_epoch must be in [0, {self.epochs}), the epochs, got {self.start_epoch}")
        if self.recalibration < 0:
            raise ValueError(f"recalibration must be at least 0, got {self.recalibration}")
        if self.averaging and not self.recalibration:
            raise ValueError("averaging needs recalibration: running statistics are of other weights")
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging must be in [0, 1), got {self.averaging}")
        if self.averaging and self.parallel.strategy == "fsdp":
            raise ValueError("averaging needs whole weights in every process: the strategy cannot be fsdp")
        if self.optimizer.name == "Muon" and self.parallel.strategy == "fsdp":
            raise ValueError("Muon needs whole matrices in every process: the strategy cannot be fsdp")
        for name in self.loggers:
            look_up("logger", name, LOGGERS)
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if self.precision not in typing.get_args(Precision):
            raise ValueError(f"precision must be one of {typing.get_args(Precision)}, got {self.precision!r}")


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
    settings = dict(plain)
    try:
        task = dict(settings.pop("task"))
        task_class = tasks[task.pop("name")]
        return _build(TrainingConfig, {**settings, "task": _build(task_class, task)})
    except (KeyError, TypeError) as error:
        raise ValueError(f"these are not the settings of a run: {error}") from error


def _build(cls: type[T], plain: Mapping[str, Any]) -> T:
    hints = typing.get_type_hints(cls)
    return cls(**{name: _revive(hints[name], value) for name, value in plain.items()})


def _revive(hint: Any, value: Any) -> Any:
    """Turn a dictionary back into the dataclass that the annotation allows; other values stay."""
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, dict):
        return value
    options: tuple[type, ...] = typing.get_args(hint) or (hint,)
    return _build(next(option for option in options if dataclasses.is_dataclass(option)), value)


# A run may be continued with other values of these: they do not change its numbers.
FREE_SETTINGS = frozenset(
    {
        "result_path",
        "threads",
        "loggers",
        "evaluate_all_statistics",
        "data.data_dir",
        "data.download",
        "data.verify",
        "data.num_workers",
        "parallel.devices",
        "parallel.nodes",
        "parallel.strategy",
    }
)


def differing_settings(ours: TrainingConfig, saved: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that change a run's numbers and differ from those of a saved run.

    A setting that the saved run's version did not have yet counts as its default.

    Args:
        ours: settings.
        saved: the other's, plain.

    Returns:
        For every name, parts joined with dots, what differs in words.
    """
    with contextlib.suppress(KeyError, TypeError, ValueError):  # settings of another kind differ by their names
        saved = to_plain(from_plain(saved, {ours.task.name: type(ours.task)}))
    return {
        name: f"{name} was {before!r}, not {now!r}"
        for name, now, before in _differences(to_plain(ours), saved)
        if name not in FREE_SETTINGS
    }


def _differences(here: Mapping[str, Any], there: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    for name in sorted({*here, *there}):
        now, before = here.get(name), there.get(name)
        if isinstance(now, dict) and isinstance(before, dict):
            yield from _differences(now, before, f"{prefix}{name}.")
        elif now != before:
            yield prefix + name, now, before
