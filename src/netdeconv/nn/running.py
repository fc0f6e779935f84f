"""Running statistics of a layer's input: mean and whitening matrix, moved by every batch.

Letters: as in linalg/grouping.py.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from netdeconv.linalg import Eigen, Root, inverse_sqrt
from netdeconv.linalg.precision import inverse, statistics_dtype
from netdeconv.nn.sampler import Sampler
from netdeconv.nn.whitening import Whitening

Mode = Literal["scheduled", "average", "batch"]
_RUNNING = ("running_mean", "running_whitening")


class RunningStatistics(nn.Module):
    """Mean and whitening matrices over batches. :class:`netdeconv.nn.InputStatistics` has arguments and attributes."""

    running_mean: Tensor
    running_whitening: Tensor
    num_batches_tracked: Tensor
    num_batches_skipped: Tensor
    num_steps: Tensor | None
    mode: Mode = "scheduled"

    def __init__(self, sampler: Sampler, like: Tensor, layer: str = "a whitened layer") -> None:
        super().__init__()
        self.sampler, self.layer = sampler, layer
        self._warned: set[str] = set()
        g, d = sampler.grouping.num_matrices, sampler.matrix_size
        dtype, device = statistics_dtype(like.dtype), like.device
        self.register_buffer("running_mean", torch.zeros(g, d, dtype=dtype, device=device))
        self.register_buffer("running_whitening", torch.empty(g, d, d, dtype=dtype, device=device))
        for name in ("num_batches_tracked", "num_batches_skipped"):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64, device=device))
        self.register_buffer("num_steps", None if self.whitening.freeze is None else self.num_batches_tracked.clone())
        self.reset_parameters()

    @property
    def whitening(self) -> Whitening:
        """The settings."""
        return self.sampler.whitening

    @torch.no_grad()
    def reset_running_stats(self) -> None:
        """Forget everything: mean zero, identity whitening, schedule at its start."""
        self.running_mean.zero_()
        eye = torch.eye(self.running_whitening.shape[-1], device=self.running_whitening.device)
        self.running_whitening.copy_(eye)
        for counter in (self.num_batches_tracked, self.num_batches_skipped, self.num_steps):
            if counter is not None:
                counter.zero_()

    def reset_parameters(self) -> None:
        """:meth:`reset_running_stats`, under the name that torch's tools call after ``to_empty``."""
        self.reset_running_stats()

    def root(self, covariance: Tensor, method: Root | None = None) -> Tensor:
        """D = C^(-1/2), or (S C S)^(-1/2) S with the deviations' inverse S: D C D^T = I both times."""
        method = method or self.whitening.method
        if not self.whitening.standardize:
            return inverse_sqrt(covariance, method=method)
        scale = covariance.diagonal(dim1=-2, dim2=-1).rsqrt()
        correlation = scale.unsqueeze(2) * covariance * scale.unsqueeze(1)
        return inverse_sqrt(correlation, method=method) * scale.unsqueeze(1)

    @torch.no_grad()
    def _update(self, mean: Tensor, matrix: Tensor, active: Tensor | None = None) -> None:
        """Move the running statistics towards the batch's; on the device, without waiting for it."""
        finite = torch.isfinite(mean.sum() + matrix.sum())
        value = value_of(finite)
        if value is False:
            self._warn_once(
                "a batch with NaN or infinity moves no running statistics "
                "(netdeconv.surgery.check_finite finds the first such layer)"
            )
        moves = finite if active is None else finite & active
        self.num_batches_tracked.add_(moves)
        certain = value is True and active is None  # nothing is left out
        if not certain:
            self.num_batches_skipped.add_(~finite if active is None else ~finite & active)
        weight = self._weight_of_new()
        for running, new in ((self.running_mean, mean), (self.running_whitening, matrix)):
            new = new.to(running.dtype)
            if not certain:
                new = torch.where(moves, new, running)  # not a zero weight: zero times NaN is NaN
            pooled = self.mode == "average" and running is self.running_whitening
            running.copy_(self._pooled(running, new, weight) if pooled else running.lerp(new, weight))

    def _pooled(self, running: Tensor, new: Tensor, weight: Tensor) -> Tensor:
        """The root of averaged covariances: among averaged roots, one of a batch without a feature would outweigh all.

        The covariance of a whitening matrix is (D^T D)^-1, which says how far few Newton-Schulz steps whitened.
        """
        covariance = _covariance(running).lerp(_covariance(new), weight.double())
        return torch.where(weight == 1, new, self.root(covariance, Eigen()).to(new.dtype))

    def _weight_of_new(self) -> Tensor:
        """Momentum, bias-corrected: the first batch counts fully."""
        count = self.num_batches_tracked.to(self.running_mean.dtype).clamp_min(1)
        momentum = self.whitening.momentum
        if momentum is None or self.mode == "average":
            return 1 / count
        # exactly one, for of an identity a rounding error is left that a small whitening matrix is lost in
        return torch.where(count == 1, 1.0, momentum / (1 - (1 - momentum) ** count))

    def _warn_once(self, message: str) -> None:
        """Each layer says a thing once."""
        if message not in self._warned and not torch.compiler.is_compiling():
            self._warned.add(message)
            warnings.warn(f"{self.layer}: {message}", RuntimeWarning, stacklevel=2)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move or cast; statistics are never narrowed below float32."""
        kept = {name: self._buffers[name] for name in _RUNNING}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, old in kept.items():
            new = self._buffers[name]
            if old is not None and new is not None and statistics_dtype(new.dtype) != new.dtype:
                self._buffers[name] = old.to(device=new.device, dtype=torch.float32)
        return self


def value_of(flag: Tensor) -> bool | None:
    """A flag's value; None where it cannot be read without waiting for a device, leaving a graph, or under ``vmap``."""
    if flag.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    try:
        return bool(flag)
    except RuntimeError:  # vmap: one flag for each model
        return None


def _covariance(matrix: Tensor) -> Tensor:
    """Of what the matrix whitens, in float64."""
    wide = matrix.double()
    return inverse(wide.mT @ wide)
