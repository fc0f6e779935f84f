"""The curve of a learning rate range test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure


def rate_curve(
    rates: Sequence[float],
    passes: Sequence[Sequence[float]],
    losses: Sequence[float],
    marks: Mapping[str, float | None],
    *,
    title: str = "",
) -> Figure:
    """Draw training losses against the learning rate they were reached with.

    Args:
        rates: learning rates, rising.
        passes: of every pass the loss at each rate; infinite where it was given up.
        losses: what the passes say together, at the first so many rates.
        marks: rates to point out, by their names; ``None`` where there is none.
        title: above the figure.

    Returns:
        A figure that belongs to no window: save it with ``savefig``.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for number, own in enumerate(passes):
        finite = [loss if math.isfinite(loss) else math.nan for loss in own]
        axes.plot(rates, finite, color="0.75", linewidth=0.8, label="" if number else "every pass")
    axes.plot(rates[: len(losses)], losses, color="tab:blue", linewidth=2, label="their median, filtered")
    styles = ("--", ":", "-.", (0, (5, 1)))
    colours = ("tab:green", "tab:orange", "tab:red", "tab:purple")
    present = {name: rate for name, rate in marks.items() if rate is not None}
    for (name, rate), style, colour in zip(present.items(), styles, colours, strict=False):
        axes.axvline(rate, color=colour, linestyle=style, label=f"{name}: {rate:.2g}")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss after the step")
    if losses:
        # What comes after the descent may rise without bounds and would press it flat.
        lowest = min(losses)
        before = max(losses[: losses.index(lowest) + 1])
        height = max(before - lowest, 0.05 * abs(lowest))
        axes.set_ylim(lowest - 0.2 * height, before + 0.6 * height)
    axes.grid(alpha=0.3)
    axes.legend()
    if title:
        axes.set_title(title)
    return figure
