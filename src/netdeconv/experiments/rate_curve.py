"""What the losses of a range test say of learning rates: pure functions of numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Steps of the running median, and the standard deviation of the smoothing as a share of all steps.
_MEDIAN, _SMOOTHING = 5, 0.03
# A descent counts when it is this many times the noise that is left.
_DESCENT = 4.0


@dataclasses.dataclass(frozen=True)
class RateCurve:
    """A range test's losses, and the rates that they suggest.

    Args:
        rates: learning rates, rising.
        passes: of every pass the loss after the step at each rate; infinite from where it was given up.
        losses: median of the passes, filtered; as many as rates, or fewer where it ends infinite.
        steepest: rate at which the loss falls fastest; ``None``: it does not fall.
        best: rate with the smallest loss.
        divergence: rate at which all that was gained is lost again; ``None``: not up to the highest.
        suggestion: the rate to start from; ``None``: there is none to suggest.
        reason: which of them the suggestion is, or why there is none, in words.
    """

    rates: tuple[float, ...]
    passes: tuple[tuple[float, ...], ...]
    losses: tuple[float, ...]
    steepest: float | None
    best: float | None
    divergence: float | None
    suggestion: float | None
    reason: str


def read_curve(rates: Sequence[float], passes: Sequence[Sequence[float]]) -> RateCurve:
    """Find where the loss falls fastest and where it diverges.

    Args:
        rates: learning rates, rising, equally spaced in their logarithm.
        passes: of every pass the loss after the step at each rate.
    """
    all_losses = np.asarray(passes, dtype=np.float64)
    losses = smooth(running_median(np.median(all_losses, axis=0)))
    found = RateCurve(
        rates=tuple(map(float, rates)),
        passes=tuple(tuple(map(float, own)) for own in passes),
        losses=tuple(map(float, losses)),
        steepest=None,
        best=None,
        divergence=None,
        suggestion=None,
        reason="",
    )
    start = float(losses[: max(3, len(losses) // 10)].mean()) if len(losses) else math.inf
    lowest = int(losses.argmin()) if len(losses) else 0
    gained = start - float(losses[lowest]) if len(losses) else 0.0
    if lowest == 0 or gained <= _DESCENT * noise(all_losses, losses):
        return dataclasses.replace(found, reason="the loss falls at none of the rates")
    divergence = _divergence(losses, lowest, start, len(rates))
    slopes = np.gradient(losses[: lowest + 1])
    found = dataclasses.replace(
        found,
        steepest=float(rates[int(slopes.argmin())]),
        best=float(rates[lowest]),
        divergence=None if divergence is None else float(rates[divergence]),
    )
    suggestion, reason = _suggestion(found)
    return dataclasses.replace(found, suggestion=suggestion, reason=reason)


def _suggestion(found: RateCurve) -> tuple[float | None, str]:
    """A rate well below divergence; where nothing diverges, that of the steepest descent.

    The steepest descent alone misleads where a network starts overconfident: its loss falls fastest at tiny rates,
    before it has learned anything. Such networks diverge, and a tenth of that rate is safe. Whitened networks need not
    diverge at any rate, and start with small outputs, so that the steepest descent is that of learning.
    """
    if found.divergence is None or found.best is None:
        return found.steepest, "where the loss falls fastest (it diverges at none of the rates)"
    tenth = found.divergence / 10
    if tenth <= found.best:
        return tenth, "a tenth of the rate at which the loss diverges"
    return found.best, "the rate with the smallest loss, which is below a tenth of the one at which it diverges"


def running_median(values: Floats, width: int = _MEDIAN) -> Floats:
    """Return the median of every value and its neighbours, up to the first that is not finite."""
    padded = np.pad(values, width // 2, mode="reflect")
    medians = np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=-1)
    bad = np.flatnonzero(~np.isfinite(medians))
    return medians[: bad[0]] if len(bad) else medians


def smooth(values: Floats) -> Floats:
    """Return weighted means of neighbours, as many before as behind, so that nothing is moved."""
    if len(values) < 2:
        return values
    sigma = max(1.0, _SMOOTHING * len(values))
    reach = min(math.ceil(3 * sigma), len(values) - 1)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    # Mirrored through the end point, so that a slope goes on instead of bending level.
    padded = np.pad(values, reach, mode="reflect", reflect_type="odd")
    return np.convolve(padded, weights / weights.sum(), mode="valid")


def noise(passes: Floats, losses: Floats) -> float:
    """Return how far the filtered curve may be off: the passes' distance from it, shrunk by what is averaged."""
    if not len(losses):
        return 0.0
    distance = np.abs(passes[:, : len(losses)] - losses)
    typical = float(np.median(distance[np.isfinite(distance)]))
    return typical / math.sqrt(passes.shape[0] * max(1.0, _SMOOTHING * len(losses)))


def _divergence(losses: Floats, lowest: int, start: float, count: int) -> int | None:
    above = np.flatnonzero(losses[lowest:] >= start)
    if len(above):
        return lowest + int(above[0])
    return len(losses) if len(losses) < count else None
