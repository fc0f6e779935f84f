"""What a layer knows of its input: the batch's mean and whitening matrix in training, running ones in evaluation.

Letters: as in linalg/grouping.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

import torch
from torch import Tensor, nn

from netdeconv.nn.ranks import Ranks
from netdeconv.nn.running import Mode, RunningStatistics, value_of

# Measured: with a row for 8 features the variances of other data spread by 1.5 of their mean, unwhitened by 1.7 to 2.5,
# with a row for each by 0.8 (variances 1 / k of 48 and 128 features, five steps). A row for 16 features gains nothing.
_FEATURES_OF_A_ROW = 8
# Number of the backward pass that is under way, or -1. Torch has no public word for it; where its private one is gone,
# activation checkpointing moves running statistics a second time.
_backward_pass = getattr(torch._C, "_current_graph_task_id", lambda: -1)


class InputStatistics(RunningStatistics):
    """Mean and whitening matrices of a layer's input.

    Buffers stay in float32 or wider when the module is cast to half precision. A batch that is not finite moves no
    running statistics; ``num_batches_skipped`` counts such batches.

    Args:
        sampler: which rows are looked at.
        like: of whose device and dtype the statistics are, float32 at least.
        layer: what warnings call it; :func:`netdeconv.convert` puts the name within the model there.

    Attributes:
        running_mean: (G, D).
        running_whitening: (G, D, D).
        num_batches_tracked: (), batches in the running statistics.
        num_batches_skipped: (), batches that were not finite.
        num_steps: (), training steps, None without a ``freeze`` schedule.
        mode: "scheduled": as the settings say. In training, "average" follows no schedule and averages the
            covariances of all batches alike (:func:`netdeconv.recalibrate`); "batch" uses the batch's statistics and
            keeps none of them. See :func:`statistics_mode`.
    """

    ranks: Ranks | None = None

    def forward(self, x: Tensor, *, exclusive: bool = True, frozen: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Statistics to whiten an input with, in float32 or wider.

        Args:
            x: input.
            exclusive: see :func:`netdeconv.linalg.patch_statistics`.
            frozen: the layer does not learn: running statistics as in evaluation, unless a mode asks for the batch's.

        Shapes:
            x (N, C, ...); results x itself, to be used in place of the input, mean (G, D), D (G, D, D).

        Raises:
            ValueError: in training when fewer than two rows can be sampled, and a mode asks for the batch's.
        """
        if not self.training or (frozen and self.mode == "scheduled"):
            return x, self.running_mean, self.running_whitening
        rows = self.sampler.num_rows(x.shape)
        if self.mode == "scheduled" and rows < 2 and not self._shared:
            # one row says nothing: a pooled map or a classifier's features of one image
            return x, self.running_mean.clone(), self.running_whitening.clone()
        again, freeze, active = _runs_again(), self.whitening.freeze, None
        if self.num_steps is not None and freeze is not None and self.mode == "scheduled":
            active = (self.num_steps - int(again)) % freeze.period < freeze.active
            if value_of(active) is False:
                self.num_steps.add_(int(not again))
                # copies: a later step overwrites the buffers before backward has read them
                return x, self.running_mean.clone(), self.running_whitening.clone()
        x, mean, matrix = self._of_batch(x, rows, exclusive=exclusive)
        if self.mode != "batch" and not again:
            self._update(mean, matrix, active)
        if active is not None and self.num_steps is not None:
            self.num_steps.add_(int(not again))
            # where the schedule cannot be read without waiting, both are at hand and one is taken
            mean = torch.where(active, mean, self.running_mean)
            matrix = torch.where(active, matrix, self.running_whitening)
        return x, mean, matrix

    @property
    def _shared(self) -> bool:
        """Whether other ranks' rows count, too."""
        return self.ranks is not None and self.ranks.active

    def observe(self, x: Tensor) -> None:
        """Move the running statistics as a training step does, without computing an output."""
        with torch.no_grad():
            self._update(*self._of_batch(x, self.sampler.num_rows(x.shape), exclusive=False)[1:])

    def _of_batch(self, x: Tensor, rows: int, *, exclusive: bool) -> tuple[Tensor, Tensor, Tensor]:
        shared = self._shared
        if rows < 2 and not shared:  # other ranks may have more
            raise ValueError(
                f"{self.layer}: whitening needs at least two sampled rows, got {rows} of input {tuple(x.shape)}: "
                "use a larger batch or input, or evaluation mode"
            )
        if rows * _FEATURES_OF_A_ROW < self.sampler.matrix_size and not shared:
            self._warn_once(
                f"{rows} sampled rows for {self.sampler.matrix_size} features whiten other data hardly at all: use a "
                "larger batch or a smaller group_size, or share statistics over ranks with netdeconv.sync_statistics "
                "(torch's and Lightning's conversion to SyncBatchNorm does not reach whitened layers)"
            )
        x, mean, covariance = self.sampler.statistics(x, exclusive=exclusive)
        count: Tensor | int = rows
        if shared and self.ranks is not None:
            count, mean, covariance = self.ranks.pool(rows, mean, covariance, self.running_mean.clone())
        return x, mean, self.root(self._regularized(covariance, count))

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

    Raises:
        ValueError: for another mode.

    Example:
        >>> layer = torch.nn.Identity()
        >>> with statistics_mode(layer, "batch"):
        ...     pass
    """
    if mode not in get_args(Mode):
        raise ValueError(f"mode must be one of {get_args(Mode)}, got {mode!r}")
    before = {module: module.mode for module in model.modules() if isinstance(module, InputStatistics)}
    try:
        for module in before:
            module.mode = mode
        yield
    finally:
        for module, own in before.items():
            module.mode = own


def _runs_again() -> bool:
    """Whether this forward pass is part of a backward one: activation checkpointing computes it a second time."""
    return not torch.compiler.is_compiling() and _backward_pass() >= 0
