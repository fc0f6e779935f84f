"""A share of ``make fuzz``: the library against a plain float64 oracle, in a process of its own."""

from __future__ import annotations

from fuzz import run


def test_three_hundred_random_layers(forked):
    def once(first: int, last: int) -> tuple[int, str, str]:
        return forked(run.child, first, last)

    assert run.share(0, 300, once) == []


def test_a_crash_is_a_finding_and_the_cases_after_it_are_tried():
    """Of four cases the second is wrong and the third ends its process."""
    tried = []

    def once(first: int, last: int) -> tuple[int, str, str]:
        tried.append((first, last))
        if first == 0:
            return -11, "begin 0\nbegin 1\nwrong 1 half of it\nbegin 2\n", "fault"
        return 0, "begin 3\nend\n", ""

    assert run.share(0, 4, once) == [
        {"seed": 1, "what": "half of it"},
        {"seed": 2, "what": "exit status -11: fault"},
    ]
    assert tried == [(0, 4), (3, 4)]
