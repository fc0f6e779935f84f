"""Optimisers and learning rate schedules by name."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

from netdeconv.lookup import look_up
from netdeconv.training.muon import MuonAndAdamW


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How the weights are updated.

    Args:
        name: one of :data:`OPTIMIZERS`.
        lr: learning rate at the start.
        momentum: SGD's, RMSprop's and Muon's momentum; the first beta of the Adams.
        weight_decay: on all parameters.
        schedule: one of :data:`SCHEDULES`, evaluated at every step.
        warmup: fraction of all steps in which the learning rate rises linearly, before the schedule starts.
        nesterov: whether SGD's momentum looks ahead.
        clip_norm: largest norm of all gradients together; larger ones are scaled down. ``None``: no limit.

    Raises:
        UnknownNameError: a ValueError with the nearest name, when a name is unknown.
        ValueError: when a number is out of range.
    """

    name: str = "SGD"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-3
    schedule: str = "cosine"
    warmup: float = 0.0
    nesterov: bool = False
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        look_up("optimizer", self.name, OPTIMIZERS)
        if self.nesterov and (self.name != "SGD" or self.momentum == 0):
            raise ValueError(f"nesterov needs SGD with a momentum, got {self.name} with {self.momentum}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup must be a fraction in [0, 1) of the steps, got {self.warmup}")
        if self.clip_norm is not None and not 0 < self.clip_norm < math.inf:
            raise ValueError(f"clip_norm must be positive, got {self.clip_norm}")
        look_up("lr-scheduler", self.schedule, SCHEDULES)
        if not 0 <= self.lr < math.inf:
            raise ValueError(f"lr must not be negative, got {self.lr}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {self.momentum}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight decay must not be negative, got {self.weight_decay}")


def _sgd(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        parameters,
        config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.nesterov,
    )


def _rmsprop(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(parameters, config.lr, momentum=config.momentum, weight_decay=config.weight_decay)


def _adam(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, config.lr, betas=(config.momentum, 0.999), weight_decay=config.weight_decay)


def _amsgrad(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    betas = (config.momentum, 0.999)
    return torch.optim.Adam(parameters, config.lr, betas=betas, weight_decay=config.weight_decay, amsgrad=True)


def _adamw(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, config.lr, betas=(config.momentum, 0.999), weight_decay=config.weight_decay)


def _muon(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    return MuonAndAdamW(parameters, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)


OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter], OptimizerConfig], torch.optim.Optimizer]] = {
    "SGD": _sgd,
    "Adam": _adam,
    "AMSGrad": _amsgrad,
    "AdamW": _adamw,
    "RMSprop": _rmsprop,
    "Muon": _muon,
}


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def _multistep(progress: float) -> float:
    return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))


def _constant(progress: float) -> float:
    del progress
    return 1.0


def _poly(progress: float) -> float:
    """Nearly linear to zero, the power that segmentation networks are usually trained with."""
    return (1 - progress) ** 0.9


def _one_cycle(progress: float) -> float:
    """From 1/25 up for three tenths of the steps, then down to a 250,000th, along cosines, as in torch's own."""
    low, high, end, turn = 1 / 25, 1.0, 1 / 25e4, 0.3
    if progress < turn:
        return high + (low - high) * _cosine(progress / turn)
    return end + (high - end) * _cosine((progress - turn) / (1 - turn))


# Factor on the learning rate after a fraction in [0, 1) of all steps; multistep divides by 10 at 1/2 and 3/4.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": _cosine,
    "multistep": _multistep,
    "one-cycle": _one_cycle,
    "poly": _poly,
    "constant": _constant,
}


def build_optimizer(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return the optimiser of the settings."""
    return OPTIMIZERS[config.name](parameters, config)


def set_learning_rate(optimizer: torch.optim.Optimizer, config: OptimizerConfig, step: int, total: int) -> float:
    """Set the learning rate of step number ``step`` of ``total`` and return it.

    A closed form of the step, so a resumed run has exactly the rates of an uninterrupted one.
    """
    warmup = round(config.warmup * total)
    if step < warmup:
        rate = config.lr * (step + 1) / (warmup + 1)
    else:
        rate = config.lr * SCHEDULES[config.schedule]((step - warmup) / (total - warmup))
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate
