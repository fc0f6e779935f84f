"""The measurements are run from the repository's root, so they are imported from there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[2]

if str(REPOSITORY) not in sys.path:
    sys.path.append(str(REPOSITORY))


@pytest.fixture(autouse=True)
def _small_peak_and_process_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's peak takes seconds, more where bfloat16 is emulated; denormal numbers are flushed to zero."""
    from benchmarks.harness import machine

    monkeypatch.setitem(machine._SIZES, "cpu", (64, 2**16))
    yield
    torch.set_flush_denormal(False)
