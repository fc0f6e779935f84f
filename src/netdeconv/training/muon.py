"""Muon for convolutional networks: torch's own, on matrices of the weights, and AdamW for what is no matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class MuonAndAdamW(torch.optim.Optimizer):
    """``torch.optim.Muon`` for weights of two and more dimensions, ``torch.optim.AdamW`` for the rest.

    torch's Muon takes matrices only. A convolution's weight (O, I, k, k) is one of O rows; its columns may stand in
    any order, as the orthogonalised update does not depend on it, so the view follows the memory format and nothing
    is copied. Steps of Muon are scaled to AdamW's size, so that one learning rate and one weight decay serve both.

    Args:
        params: parameters; those of two and more dimensions get Muon.
        lr: learning rate of both.
        momentum: Muon's momentum, AdamW's first beta.
        weight_decay: of both, decoupled.

    Raises:
        ValueError: when a weight lies in memory so that it is no matrix without a copy.

    Source:
        Jordan et al., "Muon", 2024; the scale of the steps: Liu et al., "Muon is Scalable for LLM Training", 2025.
    """

    def __init__(self, params: Iterable[nn.Parameter], *, lr: float, momentum: float, weight_decay: float) -> None:
        weights = list(params)
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._matrices = [(weight, _matrix(weight)) for weight in weights if weight.ndim >= 2]
        rest = [weight for weight in weights if weight.ndim < 2]
        common: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay}
        self._parts: list[torch.optim.Optimizer] = []
        if self._matrices:
            matrices = [matrix for _, matrix in self._matrices]
            self._parts.append(torch.optim.Muon(matrices, momentum=momentum, adjust_lr_fn="match_rms_adamw", **common))
        if rest:
            self._parts.append(torch.optim.AdamW(rest, betas=(momentum, 0.999), **common))
        # a learning rate is set in all groups
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all weights."""
        loss = None if closure is None else closure()
        for weight, matrix in self._matrices:
            gradient = weight.grad
            matrix.grad = None if gradient is None else gradient.permute(0, *_order(weight)).reshape(matrix.shape)
        for part in self._parts:
            part.step()
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
        self.param_groups = [group for part in self._parts for group in part.param_groups]


def _matrix(weight: nn.Parameter) -> nn.Parameter:
    """The weight's own memory as a matrix."""
    try:
        rows = weight.detach().permute(0, *_order(weight)).view(len(weight), -1)
    except RuntimeError as error:
        raise ValueError(f"a weight of shape {tuple(weight.shape)} lies in memory with gaps") from error
    return nn.Parameter(rows, requires_grad=weight.requires_grad)


def _order(weight: Tensor) -> list[int]:
    """All axes but the first, as they lie in memory."""
    strides: tuple[int, ...] = weight.stride()
    return sorted(range(1, weight.ndim), key=lambda axis: -strides[axis])
