"""Scores of a search over two settings, on logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from netdeconv.viz.style import styled

_X, _Y = "learning rate", "weight decay"
_REST = "diverged or stopped"


class Point(NamedTuple):
    """One trial: its two settings, its score in per cent, whether that is of a finished run."""

    x: float
    y: float
    score: float | None
    is_finished: bool


@styled
def search_map(points: Sequence[Point], *, score: str = "accuracy", title: str = "") -> Figure:
    """Draw where scores are high: a map, or a curve where one of the settings was not varied.

    Args:
        points: the trials; those without a score, or not finished, are marked and no part of the map.
        score: what the scores are.
        title: above the figure.

    Returns:
        A figure that belongs to no window: save it with ``savefig``.

    Raises:
        ValueError: when there is nothing to draw.
    """
    if not points:
        raise ValueError("there are no trials to draw")
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    if title:
        axes.set_title(title)
    varied = [name for name, values in ((_X, {p.x for p in points}), (_Y, {p.y for p in points})) if len(values) > 1]
    if len(varied) < 2:
        _curve(axes, points, varied[0] if varied else _X, score)
    else:
        _map(figure, axes, points, score)
    axes.grid(alpha=0.3)
    return figure


def _curve(axes: Axes, points: Sequence[Point], name: str, score: str) -> None:
    values = [(p.x if name == _X else p.y, p) for p in sorted(points)]
    place = _placed([value for value, _ in values])
    done = [(x, p.score) for x, (_, p) in zip(place, values, strict=True) if p.is_finished and p.score is not None]
    axes.plot([x for x, _ in done], [y for _, y in done], marker="o")
    rest = [x for x, (_, point) in zip(place, values, strict=True) if not point.is_finished]
    for number, x in enumerate(rest):
        axes.axvline(x, color="0.5", linestyle=":", label="" if number else _REST)
    if rest:
        axes.legend()
    _logarithmic(axes.xaxis, [value for value, _ in values])
    axes.set_xlabel(name)
    axes.set_ylabel(f"{score} (%)")


def _map(figure: Figure, axes: Axes, points: Sequence[Point], score: str) -> None:
    xs, ys = _placed([p.x for p in points]), _placed([p.y for p in points])
    done = [index for index, point in enumerate(points) if point.is_finished and point.score is not None]
    rest = [index for index in range(len(points)) if index not in done]
    if done:
        x, y = np.array([xs[i] for i in done]), np.array([ys[i] for i in done])
        z = np.array([points[i].score for i in done], dtype=float)
        if _spans_an_area(x, y) and z.max() > z.min():
            axes.tricontourf(x, y, z, levels=12, alpha=0.5)
        shown = axes.scatter(x, y, c=z, edgecolors="black", zorder=3)
        best = int(z.argmax())
        axes.scatter(x[best], y[best], marker="*", s=260, facecolors="none", edgecolors="red", zorder=4, label="best")
        figure.colorbar(shown, ax=axes, label=f"{score} (%)")
    if rest:
        axes.scatter([xs[i] for i in rest], [ys[i] for i in rest], marker="x", color="0.3", label=_REST, zorder=3)
    _logarithmic(axes.xaxis, [p.x for p in points])
    _logarithmic(axes.yaxis, [p.y for p in points])
    axes.set_xlabel(_X)
    axes.set_ylabel(_Y)
    axes.legend(loc="best")


def _spans_an_area(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether a map can be drawn between the points: three that lie on no line."""
    if len(x) < 4:
        return False
    centred = np.stack([x - x.mean(), y - y.mean()])
    return bool(np.linalg.matrix_rank(centred, tol=1e-3 * float(np.abs(centred).max() or 1)) == 2)


def _placed(values: Sequence[float]) -> list[float]:
    """Logarithms; zero stands one decade below the smallest other value."""
    least = min((value for value in values if value > 0), default=1.0)
    return [math.log10(value) if value > 0 else math.log10(least) - 1 for value in values]


def _logarithmic(axis: Axis, values: Sequence[float]) -> None:
    """Ticks at 1 and 3 of every decade, and at zero where there is one."""
    places = _placed(values)
    low, high = min(places), max(places)
    decades = range(math.floor(low) - 1, math.ceil(high) + 1)
    ticks = [decade + math.log10(digit) for decade in decades for digit in (1, 3)]
    zeros = [low] if 0 in values else []
    shown = [tick for tick in ticks if low + (0.5 if zeros else -0.3) <= tick <= high + 0.3]
    axis.set_ticks([*zeros, *shown], ["0"] * len(zeros) + [f"{10**tick:.0e}" for tick in shown])
    margin = max(0.1, 0.06 * (high - low))
    axis.set_view_interval(low - margin, high + margin, ignore=True)
