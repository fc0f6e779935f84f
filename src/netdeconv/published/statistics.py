"""What the three published layers share: checks, the inverse root of a covariance, blocks, and names of buffers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from netdeconv.linalg import NewtonSchulz, inverse_sqrt

# ND++ calls the buffer otherwise.
_OTHER_NAMES = {"running_cov_isqrt": "running_deconv"}


def check(eps: float, momentum: float, **counts: int) -> None:
    """Refuse settings that are out of range."""
    for name, value in counts.items():
        if type(value) is not int or value < 1:
            raise ValueError(f"{name} must be a positive integer, got {value!r}")
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps must be finite and not negative, got {eps!r}")
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum must be in [0, 1], got {momentum!r}")


def covariance_root(rows: Tensor, eps: float, n_iter: int) -> tuple[Tensor, Tensor]:
    """Mean (..., D) of rows (..., n, D), and the inverse root (..., D, D) of their covariance plus eps."""
    mean = rows.mean(-2)
    centred = rows - mean.unsqueeze(-2)
    return mean, root_of(centred.mT @ centred / rows.shape[-2], eps, n_iter)


def root_of(covariance: Tensor, eps: float, n_iter: int) -> Tensor:
    """Inverse root of matrices (..., D, D) after ``n_iter`` Newton-Schulz steps."""
    eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    return inverse_sqrt(covariance + eps * eye, method=NewtonSchulz(n_iter))


def interleaved(features: Tensor, blocks: int) -> Tensor:
    """Features (..., F) as blocks (..., S, F / S): feature i goes to block i modulo S."""
    blocked: Tensor = features.unflatten(-1, (-1, blocks)).transpose(-1, -2)
    return blocked


@torch.no_grad()
def move(running: Tensor, new: Tensor, momentum: float) -> None:
    """Running average with a constant weight of the new value, as published: not corrected for its start."""
    running.lerp_(new.detach().reshape(running.shape).to(running.dtype), momentum)


class PublishedLayer(nn.Module):
    """Loads checkpoints under the names of ND++, too."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        for other, own in _OTHER_NAMES.items():
            if prefix + other in state_dict:
                state_dict[prefix + own] = state_dict.pop(prefix + other)
        super()._load_from_state_dict(state_dict, prefix, *args)
