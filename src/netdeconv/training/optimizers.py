"""Optimisers and learning rate schedules by name."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

from netdeconv.lookup import look_up


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How the weights are updated.

    Args:
        name: one of :data:`OPTIMIZERS`.
        lr: learning rate at the start.
        momentum: SGD's and RMSprop's momentum; the first beta of the Adams.
        weight_decay: on all parameters.
        schedule: one of :data:`SCHEDULES`, evaluated at every step.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when a name is unknown.
        ValueError: when a number is out of range.
    """

    name: str = "SGD"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-3
    schedule: str = "cosine"

    def __post_init__(self) -> None:
        look_up("optimizer", self.name, OPTIMIZERS)
        look_up("lr-scheduler", self.schedule, SCHEDULES)
        if not 0 <= self.lr < math.inf:
            raise ValueError(f"lr must not be negative, got {self.lr}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {self.momentum}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight decay must not be negative, got {self.weight_decay}")


def _sgd(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay)


def _rmsprop(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay)


def _adam(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, config.lr, betas=(config.momentum, 0.999), weight_decay=config.weight_decay)


def _adamw(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, config.lr, betas=(config.momentum, 0.999), weight_decay=config.weight_decay)


OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter], OptimizerConfig], torch.optim.Optimizer]] = {
    "SGD": _sgd,
    "Adam": _adam,
    "AdamW": _adamw,
    "RMSprop": _rmsprop,
}


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def _multistep(progress: float) -> float:
    return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))


def _constant(progress: float) -> float:
    del progress
    return 1.0


# Factor on the learning rate after a fraction in [0, 1) of all steps; multistep divides by 10 at 1/2 and 3/4.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": _cosine,
    "multistep": _multistep,
    "constant": _constant,
}


def build_optimizer(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return the optimiser of the settings."""
    return OPTIMIZERS[config.name](parameters, config)


def set_learning_rate(optimizer: torch.optim.Optimizer, config: OptimizerConfig, step: int, total: int) -> float:
    """Set the learning rate of step number ``step`` of ``total`` and return it.

    A closed form of the step, so a resumed run has exactly the rates of an uninterrupted one.
    """
    rate = config.lr * SCHEDULES[config.schedule](step / total)
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate
