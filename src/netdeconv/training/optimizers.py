"""Optimisers and learning rate schedules by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from netdeconv.training.config import OptimizerConfig, OptimizerName, ScheduleName
from netdeconv.training.muon import MuonAndAdamW


def build_optimizer(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return the optimiser of the settings."""
    takes_betas = config.name in ("Adam", "AMSGrad", "AdamW")
    momentum: dict[str, Any] = {"betas": (config.momentum, 0.999)} if takes_betas else {"momentum": config.momentum}
    return OPTIMIZERS[config.name](parameters, lr=config.lr, weight_decay=config.weight_decay, **momentum)


def _amsgrad(parameters: Iterable[nn.Parameter], **settings: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, amsgrad=True, **settings)


OPTIMIZERS: dict[OptimizerName, Callable[..., torch.optim.Optimizer]] = {
    "SGD": torch.optim.SGD,
    "Adam": torch.optim.Adam,
    "AMSGrad": _amsgrad,
    "AdamW": torch.optim.AdamW,
    "RMSprop": torch.optim.RMSprop,
    "Muon": MuonAndAdamW,
}


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def _one_cycle(progress: float) -> float:
    """From 1/25 up for three tenths of the steps, then down to a 250,000th, along cosines, as in torch's own."""
    low, high, end, turn = 1 / 25, 1.0, 1 / 25e4, 0.3
    if progress < turn:
        return high + (low - high) * _cosine(progress / turn)
    return end + (high - end) * _cosine((progress - turn) / (1 - turn))


# Factor on the learning rate after a fraction in [0, 1) of all steps. Closed forms, not torch's schedulers: those
# compute a rate from the one before, so that a checkpoint would have to hold their state.
SCHEDULES: dict[ScheduleName, Callable[[float], float]] = {
    "cosine": _cosine,
    "multistep": lambda progress: 0.1 ** ((progress >= 0.5) + (progress >= 0.75)),
    "one-cycle": _one_cycle,
    "poly": lambda progress: (1 - progress) ** 0.9,  # the power that segmentation networks are usually trained with
    "constant": lambda progress: 1.0,
}


def learning_rate(config: OptimizerConfig, step: int, total: int) -> float:
    """Return the learning rate of step number ``step`` of ``total``."""
    warmup = round(config.warmup * total)
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    return config.lr * SCHEDULES[config.schedule]((step - warmup) / (total - warmup))
