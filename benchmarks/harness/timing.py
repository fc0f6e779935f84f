"""Interleaved timing: all candidates take turns in one process, so that whatever slows the machine down slows all.

The order within a round is shuffled; a ratio is taken between two times of the same round, and what is reported is
the median of the rounds' ratios, not the ratio of two medians.
"""

from __future__ import annotations

import dataclasses
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Quartiles = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Samples:
    """What :func:`interleave` measured.

    Args:
        seconds: of every candidate in every round, in order; empty for one that failed.
        errors: what stopped the candidates that failed.
    """

    seconds: dict[str, list[float]]
    errors: dict[str, str]

    def ratios(self, name: str, to: str) -> list[float]:
        """Seconds of ``name`` over those of ``to``, round by round; empty where one of them failed or is absent."""
        pairs = zip(self.seconds.get(name, []), self.seconds.get(to, []), strict=False)
        return [mine / other for mine, other in pairs]


def _nothing() -> None:
    pass


def interleave(
    actions: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warmup: int = 1,
    repeat: int = 1,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    synchronize: Callable[[], None] = _nothing,
    on_error: Callable[[str], None] | None = None,
) -> Samples:
    """Time all actions, one after the other in every round.

    Args:
        actions: by name.
        rounds: timed rounds.
        warmup: rounds before them that are not timed.
        repeat: calls in one timed sample; its seconds are divided by it.
        seed: of the order within the rounds.
        clock: seconds.
        synchronize: waits until the device has finished, before and after each sample.
        on_error: is told the name of an action that raised, which takes no further part.

    Raises:
        ValueError: when ``rounds`` or ``repeat`` is not positive.
    """
    if rounds < 1 or repeat < 1:
        raise ValueError(f"rounds and repeat must be at least 1, got {rounds} and {repeat}")
    order = random.Random(seed)
    alive = dict(actions)
    samples = Samples({name: [] for name in actions}, {})
    for number in range(-warmup, rounds):
        names = list(alive)
        order.shuffle(names)
        for name in names:
            try:
                took = _sample(alive[name], 1 if number < 0 else repeat, clock, synchronize)
            except Exception as error:  # one candidate's failure is a row of the table, not the end of the others
                samples.errors[name] = describe(error)
                samples.seconds[name].clear()
                del alive[name]
            else:
                if number >= 0:
                    samples.seconds[name].append(took)
                continue
            if on_error is not None:
                on_error(name)
    return samples


def _sample(
    action: Callable[[], object], repeat: int, clock: Callable[[], float], synchronize: Callable[[], None]
) -> float:
    synchronize()
    begun = clock()
    for _ in range(repeat):
        action()
    synchronize()
    return (clock() - begun) / repeat


def describe(error: BaseException) -> str:
    """The kind of an error and the first line of what it says, short enough for a table."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:100]}" if lines else type(error).__name__


def quartiles(values: Sequence[float]) -> Quartiles | None:
    """Lower quartile, median, upper quartile; the ends count as 0 and 100 %. None without values."""
    if len(values) < 2:
        return (values[0],) * 3 if values else None
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def rounded(value: float | None, digits: int = 4) -> float | None:
    """``value`` to so many significant digits."""
    return None if value is None else float(f"{value:.{digits}g}")


def columns(name: str, values: Sequence[float]) -> dict[str, float | list[float] | None]:
    """Two columns of a table: the median under ``name``, and both quartiles."""
    found = quartiles(values)
    spread = None if found is None else [float(f"{found[0]:.4g}"), float(f"{found[2]:.4g}")]
    return {name: rounded(found and found[1]), f"{name}, quartiles": spread}
