"""Settings of a run: frozen dataclasses, from which the command line is derived."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any, Literal, get_args

from tyro.conf import arg

from netdeconv.data.config import DataConfig
from netdeconv.lookup import unknown_name
from netdeconv.models.entry import IMAGENET
from netdeconv.models.norm_config import BATCH_NORM, NormConfig
from netdeconv.training.task import Task

DeviceName = Literal["auto", "cpu", "cuda"]
LoggerName = Literal["csv", "tensorboard", "wandb"]
OptimizerName = Literal["SGD", "Adam", "AMSGrad", "AdamW", "RMSprop", "Muon"]
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
ScheduleName = Literal["cosine", "multistep", "one-cycle", "poly", "constant"]
StrategyName = Literal["auto", "ddp", "fsdp"]


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
        if self.pretrained and not self.arch.startswith(IMAGENET):
            raise ValueError(f"{self.arch!r} has no pretrained weights; networks named {IMAGENET}... have")
        if self.pretrained and self.norm.name != BATCH_NORM:
            raise ValueError(
                "pretrained weights are of the network with batch norm, and mean nothing with another normalisation: "
                "netdeconv.convert(model, calibration=batches) changes them to fit"
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
        _require(0 <= self.lr < math.inf, f"lr must not be negative, got {self.lr}")
        _require(0 <= self.momentum < 1, f"momentum must be in [0, 1), got {self.momentum}")
        _require(0 <= self.weight_decay < math.inf, f"weight decay must not be negative, got {self.weight_decay}")
        _require(0 <= self.warmup < 1, f"warmup must be a fraction in [0, 1) of the steps, got {self.warmup}")
        _require(
            self.clip_norm is None or 0 < self.clip_norm < math.inf, f"clip_norm must be positive, got {self.clip_norm}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """How many processes train together, and what they share.

    Args:
        devices: processes on this machine, one for each device; ``None``: what torchrun started, else 1.
        nodes: machines; ``None``: what torchrun says, else 1.
        strategy: ``"ddp"``: every process holds the whole network; ``"fsdp"``: parameters, gradients and the
            optimiser's state are sharded; ``"auto"``: ``"ddp"`` when there are several processes.
        sync_statistics: whether whitened layers and batch norm take their statistics over all processes.

    Raises:
        ValueError: when a number is below 1 or the strategy is unknown.
    """

    devices: int | None = None
    nodes: int | None = None
    strategy: StrategyName = "auto"
    sync_statistics: bool = False

    def __post_init__(self) -> None:
        _require_positive(self, "devices", "nodes")
        _require_name("strategy", self.strategy, StrategyName)


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
        parallel: how many processes train together.
        threads: processor threads; ``None`` leaves torch's choice.
        accumulation: parts that every batch is cut into, one after the other through the network, with one
            update of the weights for all; every part is whitened with its own statistics.
        averaging: weight of the old value in an exponential average of the weights, which is then what is
            evaluated; it needs ``recalibration``. 0 for none.
        recalibration: training batches whose average statistics replace the running ones before every evaluation,
            for whitened layers and batch norm alike (see :func:`netdeconv.recalibrate`); 0: the running ones stay.
        evaluate_all_statistics: whether every epoch is also evaluated on the running statistics as training left
            them, and on each batch's own.
        keep_best: whether the network with the best score is kept, in ``best.pt``. It needs evaluation images other
            than the test images.
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
    parallel: ParallelConfig = dataclasses.field(default_factory=ParallelConfig)
    threads: int | None = None
    accumulation: int = 1
    averaging: float = 0.0
    recalibration: int = 16
    evaluate_all_statistics: bool = False
    keep_best: bool = False
    check_finite: bool = False
    checkpoint_minutes: float = 10.0
    loggers: tuple[LoggerName, ...] = ()
    result_path: str | None = None

    def __post_init__(self) -> None:
        _require_positive(self, "epochs", "threads", "accumulation")
        _require(self.seed >= 0, f"seed must not be negative, got {self.seed}")
        _require(self.recalibration >= 0, f"recalibration must be at least 0, got {self.recalibration}")
        _require(0 <= self.averaging < 1, f"averaging must be in [0, 1), got {self.averaging}")
        _require(
            0 <= self.checkpoint_minutes < math.inf,
            f"checkpoint_minutes must not be negative, got {self.checkpoint_minutes}",
        )
        _require(
            not self.averaging or self.recalibration > 0,
            "averaging needs recalibration: running statistics are of other weights",
        )
        for needs, what in ((self.averaging > 0, "averaging"), (self.optimizer.name == "Muon", "Muon")):
            message = f"{what} needs whole weights in every process: the strategy cannot be fsdp"
            _require(not (needs and self.parallel.strategy == "fsdp"), message)
        for name in self.loggers:
            _require_name("logger", name, LoggerName)
        options = get_args(Precision)
        _require(self.precision in options, f"precision must be one of {options}, got {self.precision!r}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _require_positive(config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _require(value is None or value >= 1, f"{name} must be at least 1, got {value}")


def _require_name(kind: str, name: str, options: Any) -> None:
    if name not in get_args(options):
        raise unknown_name(kind, name, get_args(options))
