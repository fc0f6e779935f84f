"""Optimisers and learning rate schedules by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from netdeconv.training.config import OptimizerConfig, OptimizerName, ScheduleName


def build_optimizer(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return the optimiser of the settings."""
    takes_betas = config.name in ("Adam", "AMSGrad", "AdamW")
    momentum: dict[str, Any] = {"betas": (config.momentum, 0.999)} if takes_betas else {"momentum": config.momentum}
    return OPTIMIZERS[config.name](parameters, lr=config.lr, weight_decay=config.weight_decay, **momentum)


class MuonAndAdamW(torch.optim.Optimizer):
    """``torch.optim.Muon`` for weights of two and more dimensions, ``torch.optim.AdamW`` for the rest.

    torch's Muon takes matrices only: it works on copies, in which a convolution's weight (O, I, k, k) has O rows. Steps
    of Muon are scaled to AdamW's size, so that one learning rate and one weight decay serve both.

    Source:
        Jordan et al., "Muon", 2024; the scale of the steps: Liu et al., "Muon is Scalable for LLM Training", 2025.
    """

    def __init__(self, params: Iterable[nn.Parameter], *, lr: float, momentum: float, weight_decay: float) -> None:
        weights = list(params)
        common: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay}
        super().__init__(weights, {**common, "momentum": momentum})
        self._matrices = [(weight, nn.Parameter(weight.detach().flatten(1))) for weight in weights if weight.ndim > 1]
        matrices, rest = [matrix for _, matrix in self._matrices], [weight for weight in weights if weight.ndim < 2]
        self._parts: list[torch.optim.Optimizer] = []
        if matrices:
            self._parts.append(torch.optim.Muon(matrices, momentum=momentum, adjust_lr_fn="match_rms_adamw", **common))
        if rest:
            self._parts.append(torch.optim.AdamW(rest, betas=(momentum, 0.999), **common))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all weights."""
        loss = None if closure is None else closure()
        for weight, matrix in self._matrices:
            matrix.copy_(weight.flatten(1))
            matrix.grad = None if weight.grad is None else weight.grad.flatten(1)
        for part in self._parts:
            part.param_groups[0]["lr"] = self.param_groups[0]["lr"]
            part.step()
        for weight, matrix in self._matrices:
            weight.copy_(matrix.view_as(weight))
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return both parts' states."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` returned; a KeyError or ValueError says that it is another optimiser's."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)


OPTIMIZERS: dict[OptimizerName, Callable[..., torch.optim.Optimizer]] = {
    "SGD": torch.optim.SGD,
    "Adam": torch.optim.Adam,
    "AMSGrad": lambda parameters, **settings: torch.optim.Adam(parameters, amsgrad=True, **settings),
    "AdamW": torch.optim.AdamW,
    "RMSprop": torch.optim.RMSprop,
    "Muon": MuonAndAdamW,
}


# Factor on the learning rate after a fraction in [0, 1) of all steps. Closed forms, not torch's schedulers: those
# compute a rate from the one before, so that a checkpoint would have to hold their state.
SCHEDULES: dict[ScheduleName, Callable[[float], float]] = {
    "cosine": lambda progress: 0.5 * (1 + math.cos(math.pi * progress)),
    "multistep": lambda progress: 0.1 ** ((progress >= 0.5) + (progress >= 0.75)),
    "poly": lambda progress: (1 - progress) ** 0.9,  # the power that segmentation networks are usually trained with
    "constant": lambda progress: 1.0,
}


def learning_rate(config: OptimizerConfig, step: int, total: int) -> float:
    """Return the learning rate of step number ``step`` of ``total``."""
    warmup = round(config.warmup * total)
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    return config.lr * SCHEDULES[config.schedule]((step - warmup) / (total - warmup))
