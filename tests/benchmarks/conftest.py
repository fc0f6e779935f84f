"""What measurements change about their process is undone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _process_as_before() -> Iterator[None]:
    """Denormal numbers are flushed to zero by measurements."""
    yield
    torch.set_flush_denormal(False)
