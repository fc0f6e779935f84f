"""Settings of a run: frozen dataclasses, from which the command line is derived."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from tyro.conf import arg

from netdeconv.data.config import DataConfig, require_range
from netdeconv.lookup import unknown_name
from netdeconv.models.entry import IMAGENET
from netdeconv.models.norm_config import BATCH_NORM, NormConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from netdeconv.data.splits import Splits

DeviceName = Literal["auto", "cpu", "cuda"]
LoggerName = Literal["csv", "tensorboard", "wandb"]
OptimizerName = Literal["SGD", "Adam", "AMSGrad", "AdamW", "RMSprop", "Muon"]
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
ScheduleName = Literal["cosine", "multistep", "poly", "constant"]


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

    arch: Annotated[str, arg(aliases=("-a", "--model"))] = "vgg11"
    pretrained: bool = False
    width: float = 1.0
    norm: NormConfig = dataclasses.field(default_factory=NormConfig)

    def __post_init__(self) -> None:
        if self.pretrained and not (self.arch.startswith(IMAGENET) and self.norm.name == BATCH_NORM):
            raise ValueError(
                f"networks named {IMAGENET}..., with batch norm, have pretrained weights; "
                "netdeconv.convert(model, calibration=batches) changes them to fit another normalisation"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How the weights are updated.

    Args:
        name: SGD, Adam, AMSGrad, AdamW, RMSprop, or Muon (with AdamW for what is no matrix).
        lr: learning rate at the start.
        momentum: SGD's, RMSprop's and Muon's momentum; the first beta of the Adams.
        weight_decay: on all parameters.
        schedule: of the learning rate, evaluated at every step; multistep divides by 10 at 1/2 and 3/4.
        warmup: fraction of all steps in which the learning rate rises linearly, before the schedule starts.
        clip_norm: largest norm of all gradients together; larger ones are scaled down. ``None``: no limit.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when a name is unknown.
        ValueError: when a number is out of range.
    """

    name: Annotated[OptimizerName, arg(name="optimizer")] = "SGD"
    lr: Annotated[float, arg(aliases=("--learning-rate",))] = 0.1
    momentum: float = 0.9
    weight_decay: Annotated[float, arg(aliases=("--wd",))] = 1e-3
    schedule: Annotated[ScheduleName, arg(aliases=("--lr-scheduler",))] = "cosine"
    warmup: float = 0.0
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        _require_name("optimizer", self.name, OptimizerName)
        _require_name("lr-scheduler", self.schedule, ScheduleName)
        require_range(self, 0, "lr", "weight_decay", "clip_norm")
        require_range(self, 0, "momentum", "warmup", below=1)
        if self.clip_norm == 0:
            raise ValueError("clip_norm must be positive: with 0 no weight moves")


class Task(abc.ABC):
    """A frozen dataclass that says what is learned and how it is measured."""

    name: ClassVar[str]
    metric: ClassVar[str]
    """Key of the headline score in per cent; higher is better."""

    @abc.abstractmethod
    def open(self, config: DataConfig, *, seed: int, device: torch.device, shard: tuple[int, int]) -> Splits:
        """Return this process's share of the data: process number and number of processes."""

    @abc.abstractmethod
    def build_network(self, config: NetworkConfig, info: Any) -> nn.Module:
        """Return the network of the settings, initialised from torch's global generator."""

    def mix(self, inputs: Tensor, targets: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Return a training batch as it is to be learned; random choices come from torch's global generator."""
        del num_classes
        return inputs, targets

    @abc.abstractmethod
    def compute_loss(self, outputs: Any, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch."""

    @abc.abstractmethod
    def meter(self, num_classes: int, device: torch.device) -> Any:
        """Return what measures an evaluation, over all processes.

        It has ``update(outputs, targets)``, for each batch, and ``compute()``, which returns ``loss``, ``accuracy`` and
        what else the task measures: numbers, or lists of them.
        """


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
        seed: of the initial weights, the order of the images and their augmentation.
        precision: ``"auto"``: bfloat16 where the processor is fast at it, else float32.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        sync_statistics: whether whitened layers and batch norm take their statistics over all processes.
        threads: processor threads; ``None`` leaves torch's choice.
        accumulation: parts that every batch is cut into, one after the other through the network, with one
            update of the weights for all; every part is whitened with its own statistics.
        averaging: weight of the old value in an exponential average of the weights, which is then what is
            evaluated; it needs ``recalibration``. 0 for none.
        recalibration: training batches whose average statistics replace the running ones before every evaluation,
            for whitened layers and batch norm alike (see :func:`netdeconv.recalibrate`); 0: the running ones stay.
        evaluate_all_statistics: whether every epoch is also evaluated on the running statistics as training left
            them, and on each batch's own.
        check_finite: whether NaN and infinity are looked for in every layer (slow).
        checkpoint_minutes: a checkpoint is written after every epoch, and within it when so many minutes have passed
            since the last; 0: after every epoch only.
        loggers: further places where every epoch is noted: ``"csv"``, ``"tensorboard"``, ``"wandb"``.
        result_path: run directory; ``None``: a new one in ``runs``.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when a name is unknown.
        ValueError: when a number is out of range, or settings contradict each other.
    """

    task: Task
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    start: str | None = None
    epochs: int = 20
    seed: int = 0
    precision: Precision = "auto"
    device: DeviceName = "auto"
    sync_statistics: bool = False
    threads: int | None = None
    accumulation: int = 1
    averaging: float = 0.0
    recalibration: int = 16
    evaluate_all_statistics: bool = False
    check_finite: bool = False
    checkpoint_minutes: float = 10.0
    loggers: tuple[LoggerName, ...] = ()
    result_path: str | None = None

    def __post_init__(self) -> None:
        require_range(self, 1, "epochs", "threads", "accumulation")
        require_range(self, 0, "seed", "recalibration", "checkpoint_minutes")
        require_range(self, 0, "averaging", below=1)
        if self.averaging and not self.recalibration:
            raise ValueError("averaging needs recalibration: running statistics are of other weights")
        for name in self.loggers:
            _require_name("logger", name, LoggerName)
        _require_name("precision", self.precision, Precision)


def _require_name(kind: str, name: str, options: Any) -> None:
    if name not in get_args(options):
        raise unknown_name(kind, name, get_args(options))


def replaced(config: TrainingConfig, values: Mapping[str, Any]) -> TrainingConfig:
    """Return settings with others in the place of their own, all at once.

    Args:
        config: the settings.
        values: by their places, parts joined with dots: ``{"optimizer.lr": 0.1}``.

    Raises:
        ValueError: when settings contradict each other.
    """
    changed: TrainingConfig = _replaced(config, values)
    return changed


def _replaced(settings: Any, values: Mapping[str, Any]) -> Any:
    parts: dict[str, dict[str, Any]] = {}
    for place, value in values.items():
        name, _, below = place.partition(".")
        parts.setdefault(name, {})[below] = value
    own = {name: part[""] if "" in part else _replaced(getattr(settings, name), part) for name, part in parts.items()}
    return dataclasses.replace(settings, **own)
