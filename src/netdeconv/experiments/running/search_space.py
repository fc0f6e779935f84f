"""What a search looks through, and what it found: data, which need no torch."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Literal

State = Literal["finished", "diverged", "pruned"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Space:
    """What is searched: ranges, in which values are drawn log-uniformly, or lists.

    Args:
        lr_range: draw learning rates log-uniformly from here.
        wd_range: draw weight decays log-uniformly from here.
        lr_grid: try these learning rates instead.
        wd_grid: try these weight decays instead; with lr_grid: every pair.

    Raises:
        ValueError: when a number is out of range.
    """

    lr_range: tuple[float, float] = (1e-3, 1.0)
    wd_range: tuple[float, float] = (1e-5, 1e-2)
    lr_grid: tuple[float, ...] | None = None
    wd_grid: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for low, high in (self.lr_range, self.wd_range):
            if not 0 < low < high < math.inf:
                raise ValueError(f"a range must be 0 < lowest < highest, got {low} and {high}")
        for values in (self.lr_grid, self.wd_grid):
            if values is not None and (not values or not all(0 <= value < math.inf for value in values)):
                raise ValueError(f"a grid needs values that are not negative, got {values}")

    def grid(self) -> list[dict[str, float]] | None:
        """All trials, where both are lists."""
        if self.lr_grid is None or self.wd_grid is None:
            return None
        return [{"lr": lr, "weight_decay": wd} for lr, wd in itertools.product(self.lr_grid, self.wd_grid)]


@dataclasses.dataclass(frozen=True)
class Trial:
    """One trained pair.

    Args:
        number: in the order of the proposals.
        lr: learning rate.
        weight_decay: weight decay.
        score: in per cent after the last epoch that was trained; ``None``: there is none.
        epochs: that were trained.
        state: whether all epochs were trained, the loss diverged, or the rest was not worth it.
        folder: its run directory, below that of the search.
    """

    number: int
    lr: float
    weight_decay: float
    score: float | None
    epochs: int
    state: State
    folder: str


@dataclasses.dataclass(frozen=True)
class Search:
    """What a search found.

    Args:
        path: its directory.
        trials: in the order of the proposals.
        metric: what the scores are.
    """

    path: Path
    trials: tuple[Trial, ...]
    metric: str

    @property
    def best(self) -> Trial | None:
        """The finished trial with the highest score; the first of equals."""
        finished = [trial for trial in self.trials if trial.state == "finished"]
        return max(finished, key=lambda trial: trial.score or 0.0, default=None)
