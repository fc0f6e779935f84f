"""The interleaver's statistics, with a clock that the actions themselves move."""

from __future__ import annotations

import pytest
from benchmarks.harness.timing import columns, describe, interleave, quartiles, rounded


class Machine:
    """A clock, and actions that take as long as they are told.

    Args:
        doubling: number of calls after which everything takes twice as long; None for a steady machine.
    """

    def __init__(self, doubling: int | None = None) -> None:
        self.now = 0.0
        self.calls: list[str] = []
        self._doubling = doubling

    def action(self, name: str, *seconds: float):
        """An action that takes these seconds in turn, the last from then on."""
        remaining = list(seconds)

        def run() -> None:
            slowdown = 1 if self._doubling is None else 2 ** (len(self.calls) // self._doubling)
            self.calls.append(name)
            self.now += slowdown * (remaining.pop(0) if len(remaining) > 1 else remaining[0])

        return run

    def clock(self) -> float:
        return self.now


def test_samples_are_the_seconds_of_each_round_without_the_warm_up():
    machine = Machine()
    actions = {"a": machine.action("a", 9.0, 1.0, 2.0, 3.0), "b": machine.action("b", 9.0, 4.0)}
    samples = interleave(actions, rounds=3, warmup=1, clock=machine.clock)
    assert samples.seconds == {"a": [1.0, 2.0, 3.0], "b": [4.0, 4.0, 4.0]}
    assert samples.errors == {}


def test_ratios_are_taken_within_a_round():
    machine = Machine(doubling=2)  # every round takes twice as long as the one before
    actions = {"a": machine.action("a", 3.0), "b": machine.action("b", 2.0)}
    samples = interleave(actions, rounds=4, warmup=0, clock=machine.clock)
    assert samples.seconds == {"a": [3.0, 6.0, 12.0, 24.0], "b": [2.0, 4.0, 8.0, 16.0]}
    assert samples.ratios("a", "b") == [1.5] * 4
    assert samples.ratios("a", "absent") == []


def test_every_round_holds_every_action_once_in_an_order_of_its_own():
    def orders(seed: int) -> list[tuple[str, ...]]:
        machine = Machine()
        interleave(
            {name: machine.action(name, 1.0) for name in "abcde"},
            rounds=6,
            warmup=0,
            seed=seed,
            clock=machine.clock,
        )
        return [tuple(machine.calls[start : start + 5]) for start in range(0, 30, 5)]

    assert all(sorted(order) == list("abcde") for order in orders(0))
    assert len(set(orders(0))) > 1
    assert orders(0) == orders(0)
    assert orders(0) != orders(1)


def test_repeated_calls_share_one_sample():
    machine = Machine()
    samples = interleave(
        {"a": machine.action("a", 5.0, 1.0, 2.0, 6.0)}, rounds=1, warmup=1, repeat=3, clock=machine.clock
    )
    assert samples.seconds["a"] == [3.0]


def test_the_device_is_waited_for_before_and_after():
    machine = Machine()
    pending = [0.0]

    def enqueue() -> None:
        pending[0] += 7.0

    def synchronize() -> None:
        machine.now += pending[0]
        pending[0] = 0.0

    pending[0] = 100.0  # left over from something else
    samples = interleave({"a": enqueue}, rounds=2, warmup=0, clock=machine.clock, synchronize=synchronize)
    assert samples.seconds["a"] == [7.0, 7.0]


def test_a_failing_action_is_named_and_the_others_go_on():
    machine = Machine()
    calls = []

    def fails_later() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise MemoryError("out of memory\nlong explanation")
        machine.now += 1.0

    dropped: list[str] = []
    samples = interleave(
        {"a": machine.action("a", 2.0), "b": fails_later},
        rounds=4,
        warmup=1,
        clock=machine.clock,
        on_error=dropped.append,
    )
    assert samples.seconds == {"a": [2.0] * 4, "b": []}
    assert samples.errors == {"b": "MemoryError: out of memory"}
    assert dropped == ["b"]
    assert len(calls) == 3
    assert samples.ratios("b", "a") == []


@pytest.mark.parametrize("changes", [{"rounds": 0}, {"rounds": 1, "repeat": 0}])
def test_nothing_to_time_is_refused(changes):
    with pytest.raises(ValueError, match="at least 1"):
        interleave({}, **changes)


def test_quartiles_interpolate_between_the_ends():
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 3.0, 4.0)
    assert quartiles([4.0, 1.0]) == (1.75, 2.5, 3.25)
    assert quartiles([7.0]) == (7.0, 7.0, 7.0)
    assert quartiles([]) is None


def test_columns_hold_the_median_and_both_quartiles():
    assert columns("x", [1.0, 2.0, 3.0, 4.00001, 5.0]) == {"x": 3.0, "x, quartiles": [2.0, 4.0]}
    assert columns("x", []) == {"x": None, "x, quartiles": None}
    assert rounded(1234.56) == 1235.0
    assert describe(ValueError()) == "ValueError"
