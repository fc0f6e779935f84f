"""What a search looks through, and what it found: data."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Literal

State = Literal["finished", "diverged", "pruned"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
    """The values of one setting: a range, in which values are drawn log-uniformly, or a list of them.

    Args:
        low: smallest value of the range.
        high: largest value of the range.
        values: the list; ``None``: the range counts.

    Raises:
        ValueError: when a number is out of range.
    """

    low: float
    high: float
    values: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.values is not None:
            if not self.values or not all(0 <= value < math.inf for value in self.values):
                raise ValueError(f"a grid needs values that are not negative, got {self.values}")
        elif not 0 < self.low < self.high < math.inf:
            raise ValueError(f"a range must be 0 < lowest < highest, got {self.low} and {self.high}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Space:
    """What is searched.

    Args:
        lr: learning rates.
        weight_decay: weight decays.
    """

    lr: Axis = dataclasses.field(default_factory=lambda: Axis(low=1e-3, high=1.0))
    weight_decay: Axis = dataclasses.field(default_factory=lambda: Axis(low=1e-5, high=1e-2))

    @classmethod
    def of(cls, lrs: tuple[float, ...], weight_decays: tuple[float, ...]) -> Space:
        """All pairs of two lists."""
        return cls(lr=Axis(low=1, high=2, values=lrs), weight_decay=Axis(low=1, high=2, values=weight_decays))

    def grid(self) -> list[dict[str, float]] | None:
        """All trials, where both axes are lists."""
        if self.lr.values is None or self.weight_decay.values is None:
            return None
        pairs = itertools.product(self.lr.values, self.weight_decay.values)
        return [{"lr": lr, "weight_decay": weight_decay} for lr, weight_decay in pairs]

    def pairs(self) -> list[dict[str, float]]:
        """The trials of a grid.

        Raises:
            ValueError: when an axis is a range.
        """
        found = self.grid()
        if found is None:
            raise ValueError("an experiment searches lists of values, not ranges")
        return found


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
        finished = [trial for trial in self.trials if trial.state == "finished" and trial.score is not None]
        return max(finished, key=lambda trial: trial.score or 0.0, default=None)
