"""What all whitened layers share: settings, running statistics, schedule, cached evaluation weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from netdeconv.linalg import Grouping
from netdeconv.linalg.precision import statistics_dtype
from netdeconv.nn.functional import Statistics
from netdeconv.nn.ranks import Ranks
from netdeconv.nn.whitening import Whitening

_STATISTICS = (
    "running_mean",
    "running_whitening",
    "running_tap_whitening",
    "running_mean2",
    "running_var",
    "held_whitening",
    "held_tap_whitening",
    "held_scale",
)


class WhitenedLayer(nn.Module):
    """Base of every whitened layer; ``isinstance(module, WhitenedLayer)`` tells them from plain ones.

    Buffers stay in float32 or wider when the module is cast to half precision.

    Attributes:
        whitening: the settings.
        grouping: the division of the channels.
        running_mean: (G, D).
        running_whitening: (G, D, D).
        running_tap_whitening: (G, K, K), None unless separable.
        num_batches_tracked: (), batches in the running statistics.
        num_steps: (), training steps, None without a schedule (``freeze``, ``refresh_interval``).
        held_whitening: (G, D, D), of the last refresh; None unless ``refresh_interval`` is above 1, as are
            held_tap_whitening: (G, K, K), and held_scale: (G,).
    """

    whitening: Whitening
    grouping: Grouping
    running_mean: Tensor
    running_whitening: Tensor
    running_tap_whitening: Tensor | None
    num_batches_tracked: Tensor
    num_steps: Tensor | None
    held_whitening: Tensor | None
    held_tap_whitening: Tensor | None
    held_scale: Tensor | None
    matrix_size: int
    _phase: int = 0  # num_steps modulo the refresh interval: a branch that never waits for the device
    _cache: Any = None
    _ranks: Ranks | None = None
    _version = 1

    def _register_statistics(
        self, grouping: Grouping, num_taps: int, whitening: Whitening, like: Tensor, *, full: bool
    ) -> None:
        self.whitening, self.grouping, self.matrix_size = whitening, grouping, grouping.block_channels
        if full:
            self.matrix_size *= num_taps
        g, d, dtype, device = grouping.num_matrices, self.matrix_size, statistics_dtype(like.dtype), like.device
        self.register_buffer("running_mean", torch.zeros(g, d, dtype=dtype, device=device))
        self.register_buffer("running_whitening", torch.empty(g, d, d, dtype=dtype, device=device))
        separable = whitening.structure == "separable" and num_taps > 1
        taps = torch.empty(g, num_taps, num_taps, dtype=dtype, device=device) if separable else None
        self.register_buffer("running_tap_whitening", taps)
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.int64, device=device))
        held = whitening.refresh_interval > 1
        scheduled = held or whitening.freeze is not None
        self.register_buffer("num_steps", self.num_batches_tracked.clone() if scheduled else None)
        self.register_buffer("held_whitening", self.running_whitening.clone() if held else None)
        self.register_buffer("held_tap_whitening", taps.clone() if held and taps is not None else None)
        self.register_buffer("held_scale", torch.ones(g, dtype=dtype, device=device) if held else None)
        self.reset_running_stats()

    @property
    def num_matrices(self) -> int:
        """Whitening matrices of the layer: one for each group of a grouped convolution."""
        return self.grouping.num_matrices

    @property
    def num_groups(self) -> int:
        """Blocks that share one matrix and are stacked as further samples."""
        return self.grouping.num_blocks

    @property
    def group_size(self) -> int:
        """Channels in a block, as the layer uses it."""
        return self.grouping.block_channels

    def reset_running_stats(self) -> None:
        """Forget all statistics: mean zero, identity whitening, schedule at its start."""
        with torch.no_grad():
            self.running_mean.zero_()
            held = self.held_whitening, self.held_tap_whitening
            matrices = self.running_whitening, self.running_tap_whitening, *held
            for matrix in matrices:
                if matrix is not None:
                    matrix.copy_(torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device))
            if self.held_scale is not None:
                self.held_scale.fill_(1)
            self.num_batches_tracked.zero_()
            self._phase = 0  # the next step refreshes what is held
            if self.num_steps is not None:
                self.num_steps.zero_()

    def running_statistics(self) -> Statistics:
        """The statistics that evaluation uses."""
        return Statistics(self.running_mean, self.running_whitening, self.running_tap_whitening)

    def observe(self, input: Tensor) -> None:
        """Update the running statistics from an input as a training step does, without computing an output.

        Shapes: input as the layer's forward takes it.
        Raises: ValueError when fewer than two rows would be sampled.
        """
        with torch.no_grad():
            self._update(self._batch_statistics(self._prepare(input))[1])

    @property
    def _sharing(self) -> dict[str, Any]:
        """What functions of a batch need to know of other ranks, if there are any."""
        if self._ranks is None or not self._ranks.active:
            return {}
        return {"ranks": self._ranks, "shift": self.running_mean}

    def _prepare(self, input: Tensor) -> Tensor:
        """The input as a batch (N, C, ...) in the dtype of the computation."""
        raise NotImplementedError

    def _batch_statistics(self, x: Tensor) -> tuple[Tensor, Statistics]:
        raise NotImplementedError

    def _rescaled_statistics(self, x: Tensor, held: Statistics) -> tuple[Tensor, Statistics]:
        raise NotImplementedError

    def _statistics(self, x: Tensor) -> tuple[Tensor, Statistics]:
        """Training: the batch's statistics, after noting them; or what the schedule wants in their place."""
        if self.whitening.refresh_interval > 1:
            return self._refreshed(x)
        freeze = self.whitening.freeze
        if freeze is None or self.num_steps is None:
            x, batch = self._batch_statistics(x)
            self._update(batch)
            return x, batch
        active = self.num_steps % freeze.period < freeze.active
        if _readable(active) and not active:
            self.num_steps.add_(1)
            return x, _copies(self.running_statistics())
        x, batch = self._batch_statistics(x)
        self._update(batch, active)
        self.num_steps.add_(1)
        # where the schedule cannot be read without waiting, both are at hand and one is taken
        chosen = [
            None if new is None or old is None else torch.where(active, new, old)
            for new, old in zip(batch[:3], self.running_statistics()[:3], strict=True)
        ]
        return x, Statistics(*chosen)  # type: ignore[arg-type]

    def _refreshed(self, x: Tensor) -> tuple[Tensor, Statistics]:
        """The batch's statistics at the first step of an interval, held and rescaled at the others."""
        assert self.num_steps is not None
        assert self.held_whitening is not None
        phase, self._phase = self._phase, (self._phase + 1) % self.whitening.refresh_interval
        self.num_steps.add_(1)
        if phase:
            held = Statistics(self.running_mean, self.held_whitening, self.held_tap_whitening, self.held_scale)
            return self._rescaled_statistics(x, _copies(held))
        x, batch = self._batch_statistics(x)
        self._update(batch)
        with torch.no_grad():
            for buffer, new in (
                (self.held_whitening, batch.matrix),
                (self.held_tap_whitening, batch.taps),
                (self.held_scale, batch.scale),
            ):
                if buffer is not None and new is not None:
                    buffer.copy_(new)
        return x, batch

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.read_schedule()

    def read_schedule(self) -> None:
        """Go on where ``num_steps`` says; for whoever has written to the buffers. Waits for the device."""
        if self.num_steps is not None and not self.num_steps.is_meta:
            self._phase = int(self.num_steps) % self.whitening.refresh_interval

    @torch.no_grad()
    def _update(self, batch: Statistics, active: Tensor | None = None) -> None:
        """Move the running statistics towards the batch's; on the device, without waiting for it."""
        one = torch.ones_like(self.num_batches_tracked) if active is None else active.to(torch.int64)
        self.num_batches_tracked.add_(one)
        weight = self._momentum()
        for running, new in zip(self.running_statistics()[:3], batch[:3], strict=True):
            if running is not None and new is not None:
                moved = running.lerp(new.detach().to(running.dtype), weight.to(running.dtype))
                # where, not a zero weight: a frozen layer ignores its input even if it is not finite
                running.copy_(moved if active is None else torch.where(active, moved, running))

    def _momentum(self) -> Tensor:
        """Weight of the new batch: bias-corrected, so the first batch counts fully; constant as published."""
        count = self.num_batches_tracked.to(self.running_mean.dtype).clamp_min(1)
        momentum = self.whitening.momentum
        if momentum is None:
            return 1 / count
        if self.whitening.layout == "reference":
            return torch.full_like(count, momentum)
        return momentum / (1 - (1 - momentum) ** count)

    def train(self, mode: bool = True) -> WhitenedLayer:
        """Switch mode; cached evaluation weights are dropped."""
        self._cache = None
        super().train(mode)
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> WhitenedLayer:
        """Move or cast; statistics are never narrowed below float32."""
        self._cache = None
        kept = {name: self._buffers[name] for name in _STATISTICS if self._buffers.get(name) is not None}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, old in kept.items():
            new = self._buffers[name]
            if old is not None and new is not None and statistics_dtype(new.dtype) != new.dtype:
                self._buffers[name] = old.to(device=new.device, dtype=torch.float32)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": None}

    def _extra_repr(self) -> str:
        settings = self.whitening
        parts = [f"structure={settings.structure!r}", f"group_size={self.group_size}"]
        if self.num_groups > 1:
            parts.append(f"num_groups={self.num_groups}")
        parts.append(f"num_iterations={settings.num_iterations}")
        if settings.layout != Whitening().layout:
            parts.append(f"layout={settings.layout!r}")
        return ", ".join(parts)


def _readable(flag: Tensor) -> bool:
    """Whether a tensor can be read without waiting for a device or leaving a compiler's graph."""
    return flag.device.type == "cpu" and not torch.compiler.is_compiling()


def _copies(statistics: Statistics) -> Statistics:
    """Copies of buffers, which a later step overwrites before backward has read them."""
    return Statistics(*(None if tensor is None else tensor.clone() for tensor in statistics))  # type: ignore[arg-type]
