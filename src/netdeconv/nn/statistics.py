"""What a layer knows of its input: the batch's mean and whitening matrix in training, running ones in evaluation.

Letters: as in linalg/grouping.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from netdeconv.linalg import inverse_sqrt
from netdeconv.linalg.precision import statistics_dtype
from netdeconv.nn.ranks import Ranks
from netdeconv.nn.sampler import Sampler
from netdeconv.nn.whitening import Freeze, Whitening

Mode = Literal["scheduled", "average", "batch"]
_RUNNING = ("running_mean", "running_whitening")


class InputStatistics(nn.Module):
    """Mean and whitening matrices of a layer's input.

    Buffers stay in float32 or wider when the module is cast to half precision. A batch that is not finite moves no
    running statistics; ``num_batches_skipped`` counts such batches.

    Args:
        sampler: which rows are looked at.
        like: of whose device and dtype the statistics are, float32 at least.

    Attributes:
        running_mean: (G, D).
        running_whitening: (G, D, D).
        num_batches_tracked: (), batches in the running statistics.
        num_batches_skipped: (), batches that were not finite.
        num_steps: (), training steps, None without a ``freeze`` schedule.
        mode: "scheduled": as the settings say. In training, "average" follows no schedule and weighs all batches
            alike (:func:`netdeconv.recalibrate`); "batch" uses the batch's statistics and keeps none of them. See
            :func:`statistics_mode`.
    """

    running_mean: Tensor
    running_whitening: Tensor
    num_batches_tracked: Tensor
    num_batches_skipped: Tensor
    num_steps: Tensor | None
    mode: Mode = "scheduled"
    ranks: Ranks | None = None

    def __init__(self, sampler: Sampler, like: Tensor) -> None:
        super().__init__()
        self.sampler = sampler
        g, d = sampler.grouping.num_matrices, sampler.matrix_size
        dtype, device = statistics_dtype(like.dtype), like.device
        self.register_buffer("running_mean", torch.zeros(g, d, dtype=dtype, device=device))
        self.register_buffer("running_whitening", torch.empty(g, d, d, dtype=dtype, device=device))
        for name in ("num_batches_tracked", "num_batches_skipped"):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64, device=device))
        self.register_buffer("num_steps", None if self.whitening.freeze is None else self.num_batches_tracked.clone())
        self.reset()

    @property
    def whitening(self) -> Whitening:
        """The settings."""
        return self.sampler.whitening

    @torch.no_grad()
    def reset(self) -> None:
        """Forget everything: mean zero, identity whitening, schedule at its start."""
        self.running_mean.zero_()
        eye = torch.eye(self.running_whitening.shape[-1], device=self.running_whitening.device)
        self.running_whitening.copy_(eye)
        for counter in (self.num_batches_tracked, self.num_batches_skipped, self.num_steps):
            if counter is not None:
                counter.zero_()

    def forward(self, x: Tensor, *, exclusive: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        """Statistics to whiten an input with, in float32 or wider.

        Args:
            x: input.
            exclusive: see :func:`netdeconv.linalg.patch_statistics`.

        Shapes:
            x (N, C, ...); results x itself, to be used in place of the input, mean (G, D), D (G, D, D).

        Raises:
            ValueError: in training when fewer than two rows can be sampled.
        """
        if not self.training:
            return x, self.running_mean, self.running_whitening
        if self.num_steps is None or self.whitening.freeze is None or self.mode != "scheduled":
            x, mean, matrix = self._of_batch(x, exclusive=exclusive)
            if self.mode != "batch":
                self._update(mean, matrix)
            return x, mean, matrix
        return self._scheduled(x, self.num_steps, self.whitening.freeze, exclusive=exclusive)

    def observe(self, x: Tensor) -> None:
        """Move the running statistics as a training step does, without computing an output."""
        with torch.no_grad():
            self._update(*self._of_batch(x, exclusive=False)[1:])

    def _of_batch(self, x: Tensor, *, exclusive: bool) -> tuple[Tensor, Tensor, Tensor]:
        shared = self.ranks is not None and self.ranks.active
        rows = self.sampler.num_rows(x.shape)
        if rows < 2 and not shared:  # other ranks may have more
            raise ValueError(
                f"whitening needs at least two sampled rows in training, got {rows} of input {tuple(x.shape)}: "
                "use a larger batch or input, or evaluation mode"
            )
        x, mean, covariance = self.sampler.statistics(x, exclusive=exclusive)
        count: Tensor | int = rows
        if shared and self.ranks is not None:
            count, mean, covariance = self.ranks.pool(rows, mean, covariance, self.running_mean.clone())
        return x, mean, inverse_sqrt(self._regularized(covariance, count), method=self.whitening.method)

    def _regularized(self, covariance: Tensor, rows: Tensor | int) -> Tensor:
        r"""Few rows say little of correlations: :math:`\Sigma + a (diag \Sigma - \Sigma) + eps`, a = D / (n + D)."""
        size = covariance.shape[-1]
        variances = torch.diag_embed(covariance.diagonal(dim1=-2, dim2=-1))
        eye = torch.eye(size, dtype=covariance.dtype, device=covariance.device)
        return covariance.lerp(variances, self._shrinkage(size, rows)) + self.whitening.eps * eye

    @staticmethod
    def _shrinkage(size: int, rows: Tensor | int) -> Tensor | float:
        """Share of the correlations that is taken out."""
        return size / (rows + size)

    def _scheduled(
        self, x: Tensor, num_steps: Tensor, freeze: Freeze, *, exclusive: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The batch's statistics where the schedule is active, constants elsewhere."""
        active = num_steps % freeze.period < freeze.active
        if _readable(active) and not active:
            num_steps.add_(1)
            # copies: a later step overwrites the buffers before backward has read them
            return x, self.running_mean.clone(), self.running_whitening.clone()
        x, mean, matrix = self._of_batch(x, exclusive=exclusive)
        self._update(mean, matrix, active)
        num_steps.add_(1)
        # where the schedule cannot be read without waiting, both are at hand and one is taken
        return x, torch.where(active, mean, self.running_mean), torch.where(active, matrix, self.running_whitening)

    @torch.no_grad()
    def _update(self, mean: Tensor, matrix: Tensor, active: Tensor | None = None) -> None:
        """Move the running statistics towards the batch's; on the device, without waiting for it."""
        finite = torch.isfinite(mean.sum() + matrix.sum())
        if _readable(finite) and not finite:
            _warn_of_skipped()
        moves = finite if active is None else finite & active
        self.num_batches_tracked.add_(moves)
        self.num_batches_skipped.add_(~finite if active is None else ~finite & active)
        weight = self._weight_of_new()
        for running, new in ((self.running_mean, mean), (self.running_whitening, matrix)):
            moved = running.lerp(new.to(running.dtype), weight)
            running.copy_(torch.where(moves, moved, running))  # not a zero weight: zero times NaN is NaN

    def _weight_of_new(self) -> Tensor:
        """Momentum, bias-corrected: the first batch counts fully."""
        count = self.num_batches_tracked.to(self.running_mean.dtype).clamp_min(1)
        momentum = self.whitening.momentum
        if momentum is None or self.mode == "average":
            return 1 / count
        return momentum / (1 - (1 - momentum) ** count)

    def _apply(self, fn: Any, recurse: bool = True) -> InputStatistics:
        """Move or cast; statistics are never narrowed below float32."""
        kept = {name: self._buffers[name] for name in _RUNNING}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, old in kept.items():
            new = self._buffers[name]
            if old is not None and new is not None and statistics_dtype(new.dtype) != new.dtype:
                self._buffers[name] = old.to(device=new.device, dtype=torch.float32)
        return self

    def extra_repr(self) -> str:
        """Settings and sizes, for ``print(model)``."""
        settings, grouping = self.whitening, self.sampler.grouping
        parts = [f"structure={settings.structure!r}", f"group_size={grouping.block_channels}"]
        if grouping.num_blocks > 1:
            parts.append(f"num_groups={grouping.num_blocks}")
        parts.append(f"num_iterations={settings.num_iterations}" if settings.root is None else f"root={settings.root}")
        return ", ".join(parts)


@contextmanager
def statistics_mode(model: nn.Module, mode: Mode) -> Iterator[None]:
    """All whitened layers of a model in a mode, see :class:`InputStatistics`; afterwards as before.

    Only layers in training mode compute statistics: ``model.eval()``, then ``.train()`` of the
    :class:`InputStatistics` alone, evaluates a model on batch statistics.

    Args:
        model: any module.
        mode: "scheduled", "average" or "batch".

    Returns:
        A context manager.

    Example:
        >>> layer = torch.nn.Identity()
        >>> with statistics_mode(layer, "batch"):
        ...     pass
    """
    before = {module: module.mode for module in model.modules() if isinstance(module, InputStatistics)}
    try:
        for module in before:
            module.mode = mode
        yield
    finally:
        for module, own in before.items():
            module.mode = own


def _readable(flag: Tensor) -> bool:
    """Whether a tensor can be read without waiting for a device or leaving a compiler's graph."""
    return flag.device.type == "cpu" and not torch.compiler.is_compiling()


def _warn_of_skipped() -> None:
    warnings.warn(
        "a batch with NaN or infinity reached a whitened layer: it moves no running statistics "
        "(netdeconv.surgery.check_finite names the layer)",
        RuntimeWarning,
        stacklevel=2,
    )
