"""What measurements change about their process is undone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _small_peak_and_process_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's peak takes seconds, more where bfloat16 is emulated; denormal numbers are flushed to zero."""
    from benchmarks.harness import machine

    monkeypatch.setitem(machine._SIZES, "cpu", (64, 2**16))
    yield
    torch.set_flush_denormal(False)
