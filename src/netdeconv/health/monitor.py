"""Readings of all whitened layers every so many training steps, in anyone's own loop."""

from __future__ import annotations

import dataclasses
import math
import time
import warnings
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from netdeconv.health.measure import LayerHealth, measure
from netdeconv.health.remedies import findings
from netdeconv.nn import InputStatistics, WhitenedLayer


class HealthWarning(UserWarning):
    """A whitened layer is not well; the message names it and the remedy."""


class Monitor:
    """Reads whitened layers now and then, see :func:`monitor`; as a context manager it removes itself at the end.

    Args:
        model: with whitened layers.
        every: steps between readings.
        to: where numbers go.
        warn: whether findings are warnings.
        on_reading: is called after every reading.

    Attributes:
        latest: what was read last, by the layer's name.
        warned: what was found so far: the sentence, by layer and kind.
        step: training forward passes seen.

    Raises:
        ValueError: as :func:`monitor`.
    """

    def __init__(
        self, model: nn.Module, *, every: int, to: Any, warn: bool, on_reading: Callable[[Monitor], None] | None
    ) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self.latest: dict[str, LayerHealth] = {}
        self.warned: dict[tuple[str, str], str] = {}
        self.step = 0
        self._every, self._to, self._warn, self._on_reading = every, to, warn, on_reading
        self._reads = False
        self._seconds = self._begun = 0.0
        self._since: tuple[int, float] | None = None
        self._names = {
            m.statistics: name or "model" for name, m in model.named_modules() if isinstance(m, WhitenedLayer)
        }
        if not self._names:
            raise ValueError("the model has no whitened layer to monitor: convert it first")
        self._handles = [
            model.register_forward_pre_hook(self._before_step, prepend=True),
            model.register_forward_hook(self._after_forward),
        ]
        for statistics in self._names:
            self._handles += [
                statistics.register_forward_pre_hook(self._before_layer),
                statistics.register_forward_hook(self._after_layer),
            ]

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """Take all hooks from the model."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def scalars(self) -> dict[str, float]:
        """The finite numbers of the latest reading, as ``health/LAYER/QUANTITY``."""
        return {
            f"health/{name}/{key}": float(value)
            for name, health in self.latest.items()
            for key, value in as_numbers(health).items()
            if value is not None and math.isfinite(value)
        }

    def __str__(self) -> str:
        head = ["layer", "rows/feature", "condition", "effective rank", "gain", "distance", "silent", "time"]
        rows = [head]
        for name, h in self.latest.items():
            rows.append(
                [
                    name,
                    f"{h.rows_per_feature:.1f}",
                    f"{h.condition_before:.1e} -> {h.condition_after:.1e}",
                    f"{h.rank_before:.1f} -> {h.rank_after:.1f} of {h.features}",
                    f"{h.gain:.1f}",
                    f"{h.mean_distance:.2f}, {h.whitening_distance:.2f}",
                    f"{h.dead_channels + h.constant_channels} of {h.channels}",
                    "-" if h.time_share is None else f"{100 * h.time_share:.1f} %",
                ]
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, *(f"{name}: {text}" for (name, _), text in self.warned.items())])

    def _before_step(self, model: nn.Module, args: tuple[Any, ...]) -> None:
        del args
        if not model.training or torch.compiler.is_compiling():
            return
        self._reads = self.step % self._every == 0
        self.step += 1
        if self._reads:
            self.latest = {}
            now = time.perf_counter()
            self._seconds = 0.0 if self._since is None else (now - self._since[1]) / (self.step - self._since[0])

    def _before_layer(self, statistics: nn.Module, args: tuple[Any, ...]) -> None:
        if self._reads and statistics.training:
            _wait_for(args[0])
            self._begun = time.perf_counter()

    def _after_layer(self, statistics: nn.Module, args: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        if not (self._reads and statistics.training and isinstance(statistics, InputStatistics)):
            return
        _wait_for(args[0])
        took = time.perf_counter() - self._begun
        health = measure(statistics, args[0], output[1], output[2])
        share = min(1.0, took / self._seconds) if self._seconds else None
        self.latest[self._names[statistics]] = dataclasses.replace(health, time_share=share)

    def _after_forward(self, model: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not self._reads:
            return
        self._reads = False
        for name, health in self.latest.items():
            for kind, text in findings(health).items():
                if (name, kind) not in self.warned:
                    self.warned[name, kind] = text
                    if self._warn:
                        warnings.warn(f"layer {name!r}: {text}", HealthWarning, stacklevel=3)
        if self._to is not None:
            _write(self._to, self.scalars(), self.step)
        if self._on_reading is not None:
            self._on_reading(self)
        self._since = (self.step, time.perf_counter())


def monitor(
    model: nn.Module,
    *,
    every: int = 50,
    to: Any = None,
    warn: bool = True,
    on_reading: Callable[[Monitor], None] | None = None,
) -> Monitor:
    """Watch the whitened layers of a model while it trains, in any loop.

    A forward pass in training mode is a step; of every ``every`` of them the first is read. The others pass a few
    empty hooks. Nothing that training computes is changed.

    Args:
        model: with whitened layers; the module whose forward the loop calls, or one inside it (of a wrapper).
        every: steps between readings.
        to: where numbers go: anything with ``add_scalar(name, value, step)`` (TensorBoard), ``log(dict, step=step)``
            (W&B), ``log_metrics(dict, step=step)`` (Lightning's loggers), or None.
        warn: whether what is found is a :class:`HealthWarning`, once for each layer and kind.
        on_reading: is called with the monitor after every reading.

    Returns:
        A :class:`Monitor`: ``print`` it, read ``latest``, ``remove()`` it.

    Raises:
        TypeError: when ``to`` can be written to in no known way.
        ValueError: when the model has no whitened layer, or ``every`` is less than 1.

    Numerics:
        A reading makes each covariance again, and eigenvalues of D x D matrices on the processor: at most about one
        step's time, so 2 % of 50. It waits for the device. Under ``torch.compile`` nothing is read: monitor the model
        in some steps before it is compiled.

    Example:
        >>> model = torch.nn.Sequential(WhitenedLinear(8, 2))
        >>> watched = monitor(model, every=50)
        >>> _ = model(torch.randn(512, 8))
        >>> round(watched.latest["0"].rank_after)
        8
    """
    if to is not None and not any(hasattr(to, name) for name in ("add_scalar", "log", "log_metrics")):
        raise TypeError(f"to needs a method add_scalar, log or log_metrics, got {type(to).__name__}")
    return Monitor(model, every=every, to=to, warn=warn, on_reading=on_reading)


def as_numbers(health: LayerHealth) -> Mapping[str, float | None]:
    """All numbers of a reading, by name."""
    return {**dataclasses.asdict(health), "rows_per_feature": health.rows_per_feature}


def _write(to: Any, numbers: dict[str, float], step: int) -> None:
    if hasattr(to, "add_scalar"):
        for name, value in numbers.items():
            to.add_scalar(name, value, step)
    elif hasattr(to, "log_metrics"):
        to.log_metrics(numbers, step=step)
    else:
        to.log(numbers, step=step)


def _wait_for(x: Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
