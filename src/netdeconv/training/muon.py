"""Muon for convolutional networks: torch's own, on matrices of the weights, and AdamW for what is no matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn


class MuonAndAdamW(torch.optim.Optimizer):
    """``torch.optim.Muon`` for weights of two and more dimensions, ``torch.optim.AdamW`` for the rest.

    torch's Muon takes matrices only: it works on copies, in which a convolution's weight (O, I, k, k) has O rows. Steps
    of Muon are scaled to AdamW's size, so that one learning rate and one weight decay serve both.

    Args:
        params: parameters; those of two and more dimensions get Muon.
        lr: learning rate of both.
        momentum: Muon's momentum, AdamW's first beta.
        weight_decay: of both, decoupled.

    Source:
        Jordan et al., "Muon", 2024; the scale of the steps: Liu et al., "Muon is Scalable for LLM Training", 2025.
    """

    def __init__(self, params: Iterable[nn.Parameter], *, lr: float, momentum: float, weight_decay: float) -> None:
        weights = list(params)
        common: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay}
        super().__init__(weights, {**common, "momentum": momentum})
        self._matrices = [(weight, nn.Parameter(weight.detach().flatten(1))) for weight in weights if weight.ndim > 1]
        rest = [weight for weight in weights if weight.ndim < 2]
        self._parts: list[torch.optim.Optimizer] = []
        if self._matrices:
            matrices = [matrix for _, matrix in self._matrices]
            self._parts.append(torch.optim.Muon(matrices, momentum=momentum, adjust_lr_fn="match_rms_adamw", **common))
        if rest:
            self._parts.append(torch.optim.AdamW(rest, betas=(momentum, 0.999), **common))
        self._share_groups()

    def _share_groups(self) -> None:
        """Let a learning rate that is set here be that of the parts."""
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all weights."""
        loss = None if closure is None else closure()
        for weight, matrix in self._matrices:
            matrix.copy_(weight.flatten(1))
            matrix.grad = None if weight.grad is None else weight.grad.flatten(1)
        for part in self._parts:
            part.step()
        for weight, matrix in self._matrices:
            weight.copy_(matrix.view_as(weight))
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of the weights."""
        super().zero_grad(set_to_none)
        for weight, _ in self._matrices:
            weight.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return both parts' states."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` returned.

        Raises:
            ValueError: when it is another optimiser's.
        """
        if len(state_dict.get("parts", [])) != len(self._parts):
            raise ValueError("the state is not of Muon with AdamW for the same network")
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()
